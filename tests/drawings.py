"""What an SVG drawing shows, for tests: its texts, its points, and what covers what."""
import re
import xml.etree.ElementTree

from suite.report import charts

SVG = '{http://www.w3.org/2000/svg}'


def texts(drawing):
    """The texts of a drawing, in their order."""
    return [element.text for element in _root(drawing).iter(SVG + 'text')]


def titles(drawing):
    """The titles, which a pointer shows, in their order."""
    return [element.text for element in _root(drawing).iter(SVG + 'title')]


def collisions(drawing):
    """A line for each label that covers another one or a point, or is not inside the drawing."""
    root = _root(drawing)
    width, height = map(float, root.get('viewBox').split()[2:])
    labels = [(element.text, charts.text_box(
        float(element.get('x')), float(element.get('y')), element.get('text-anchor', 'start'), '',
        element.text)) for element in root.iter(SVG + 'text')]
    others = labels + [(_title(element), _point(element)) for tag in ('circle', 'rect')
                       for element in root.iter(SVG + tag) if element.get('class') != 'ground']
    lines = ['%s is outside' % text for text, (left, top, right, bottom) in labels
             if left < -1 or top < 0 or right > width + 1 or bottom > height]
    for i, (text, box) in enumerate(labels):
        lines += ['%s covers %s' % (text, other) for other, other_box in others[i + 1:]
                  if charts.overlap(box, other_box)]
    return lines


def letters_px(drawing, shown_px):
    """The height of the letters of a drawing that is shown so many pixels wide."""
    size = int(re.search(r'svg \{[^}]*font: (\d+)px', _style()).group(1))
    assert not re.search(r'font-size|font:', _style().replace('font: %dpx' % size, ''))
    return size * shown_px / float(_root(drawing).get('viewBox').split()[2])


def _root(drawing):
    return xml.etree.ElementTree.fromstring(drawing)


def _style():
    with open(charts.__file__.replace('.py', '.css'), encoding='utf-8') as file:
        return file.read()


def _title(element):
    title = element.find(SVG + 'title')
    return 'a point' if title is None else title.text


def _point(element):
    if element.tag == SVG + 'circle':
        x, y, radius = [float(element.get(key)) for key in ('cx', 'cy', 'r')]
        return x - radius, y - radius, x + radius, y + radius
    x, y, width, height = [float(element.get(key)) for key in ('x', 'y', 'width', 'height')]
    return x, y, x + width, y + height
