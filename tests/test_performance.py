"""tools/performance.py: which records it keeps."""
import pytest

from tools import performance


@pytest.mark.parametrize('code, is_kept', [(0, True), (1, True), (3, False), (130, False)])
def test_a_run_that_fails_leaves_no_record(code, is_kept, tmp_path, monkeypatch):
    path, calls = tmp_path / 'a.json', []

    def call(words, **_):
        calls.append(words[1:])
        path.write_text('{}')
        return code
    monkeypatch.setattr(performance.subprocess, 'call', call)
    performance.run(['-m', 'suite', 'peers'], str(path))
    assert path.exists() == is_kept
    performance.run(['-m', 'suite', 'peers'], str(path))
    assert calls == [['-m', 'suite', 'peers', '--json', str(path)]] * (1 if is_kept else 2)


def test_ctrl_c_leaves_no_record_of_half_the_rounds(tmp_path, monkeypatch):
    path = tmp_path / 'a.json'

    def call(words, **_):
        path.write_text('{}')
        raise KeyboardInterrupt
    monkeypatch.setattr(performance.subprocess, 'call', call)
    with pytest.raises(KeyboardInterrupt):
        performance.run(['-m', 'suite', 'peers'], str(path))
    assert not path.exists()
