"""The command line: each command does its work or says in words why not, and loads no more than it needs."""

import subprocess
import sys
from pathlib import Path

import pytest

from ecgfm_core.cli import main
from ecgfm_core.training.run_folder import EXIT_FAILED
from tests.ecgfm_core.tiny_data import TINY, make


def pretrain_words(folder: Path, *more: str) -> list[str]:
    manifest_path, waveforms = make(folder, 8, 0)
    sets = [part for key, value in {**TINY, "epochs": 1}.items() for part in ("--set", f"{key}={value}")]
    words = ["pretrain", "--manifest", str(manifest_path), "--waveforms", str(waveforms), "--out", str(folder / "run")]
    return [*words, "--device", "cpu", *sets, *more]


def test_pretrain_says_where_the_checkpoint_lies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(pretrain_words(tmp_path)) == 0
    assert capsys.readouterr().out == f"checkpoint: {tmp_path / 'run' / 'checkpoint'}\n"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--config", "huge"], "Config 'huge' is unknown"),
        (["--set", "depth=3"], "no field 'depth'"),
        (["--set", "depth"], "field=value is needed"),
        (["--device", "abacus"], "'abacus' is not here"),
    ],
)
def test_a_wrong_option_is_refused_in_words(
    more: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(pretrain_words(tmp_path, *more)) == 1
    assert said in capsys.readouterr().err


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["fly"])
    assert stopped.value.code == 2
    assert "pretrain" in capsys.readouterr().err


def test_configs_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["configs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["tiny_cpu", "small", "base"]


def test_simulated_recordings_are_written(tmp_path: Path) -> None:
    assert main(["simulate", str(tmp_path / "set"), "--count", "3", "--seed", "1", "--label-error-rate", "0.4"]) == 0
    assert len(list((tmp_path / "set").rglob("*.hea"))) == 3
    assert (tmp_path / "set" / "truth.json").exists()


def test_a_folder_that_is_no_release_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify-release", str(tmp_path)]) == 1
    assert capsys.readouterr()


def test_commands_without_a_network_load_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from ecgfm_core.cli import main; "
        f"main(['simulate', {str(tmp_path / 'set')!r}, '--count', '1']); main(['configs']); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_bench_mitdb_refuses_what_its_protocol_fixes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["bench", "mitdb", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main([*asked, "--test-fold", "3", "--set", "epochs=3"]) == EXIT_FAILED
    assert "takes no --test-fold, no --set" in capsys.readouterr().err
