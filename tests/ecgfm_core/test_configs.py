"""Named configurations say what they are and refuse what can't work."""

import subprocess
import sys
from dataclasses import fields

import pytest

from ecgfm_core import configs
from ecgfm_core.configs import Config
from ecgfm_core.errors import ConfigError


def test_every_named_config_says_cost_and_expected_score() -> None:
    assert configs.names() == ("tiny_cpu", "small", "base")
    for named in configs.describe():
        assert named.name == named.config.name
        assert named.cost
        assert named.expected_score
        assert min(named.config.horizon_tokens) * named.config.hop_samples >= named.config.receptive_field_samples


def test_tiny_cpu_has_a_million_parameters_and_an_embedding_that_fits() -> None:
    config = configs.build("tiny_cpu")
    assert 0.9e6 < config.parameter_count() < 1.3e6
    assert config.embedding_width == 512
    assert config.hop_ms == 40
    assert config.receptive_field_ms == 250


def test_every_field_is_documented() -> None:
    for field in fields(Config):
        assert field.name in (Config.__doc__ or "") or field.name == "name", field.name


def test_values_may_be_text_as_on_a_command_line() -> None:
    config = configs.build("tiny_cpu", {"epochs": "3", "horizons_ms": "280, 560", "learning_rate": "1e-4"})
    assert (config.epochs, config.horizons_ms, config.learning_rate) == (3, (280.0, 560.0), 1e-4)
    assert isinstance(config.epochs, int)


def test_a_config_survives_json() -> None:
    config = configs.build("small", {"epochs": 2})
    assert configs.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"depth": 3}, "no field 'depth'.*layers.*are known"),
        ({"name": "x"}, "no field 'name'"),
        ({"epochs": "2.5"}, "epochs is '2.5'; a whole number"),
        ({"epochs": True}, "a whole number"),
        ({"epochs": None}, "a whole number"),
        ({"learning_rate": "nan"}, "a number such as"),
        ({"horizons_ms": "40,80"}, "receptive field of 250 ms"),
        ({"horizons_ms": ""}, "numbers joined by commas"),
        ({"horizons_ms": "255"}, "whole hops of 40 ms"),
        ({"crop_s": 0.5}, "more than the longest horizon of 640 ms"),
        ({"batch": 0}, "batch is 0; 1 or more"),
        ({"heads": 5}, "an even number of features for each of the 5 heads"),
        ({"kernels": "5,3"}, "as many kernels as strides"),
        ({"strides": "8,2,1,1"}, "at most its kernel"),
        ({"ema": 1}, "ema is 1"),
        ({"head_gradient": 2}, "0 to 1 is allowed"),
        ({"contrastive_weight": -1}, "no loss weight below 0"),
    ],
)
def test_what_cannot_work_is_refused_in_words(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        configs.build("tiny_cpu", changes)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'huge' is unknown; tiny_cpu, small, base are known"):
        configs.build("huge")
    with pytest.raises(ConfigError, match="wings is unknown"):
        configs.from_dict({**configs.build("small").to_dict(), "wings": 2})


def test_what_the_web_side_loads_brings_no_torch() -> None:
    code = (
        "import sys, ecgfm_core.configs, ecgfm_core.predict, ecgfm_core.cli, ecgfm_core.training.run_folder, "
        "ecgfm_core.training.dataset, ecgfm_core.training.metrics; "
        "sys.exit('torch' in sys.modules or 'tokenizers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
