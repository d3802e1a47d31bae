"""Errors of the science. Each message says what was wrong, the value, what is allowed and how to go on."""


class EcgfmError(Exception):
    """Base of every error this package raises on purpose."""


class RecordingError(EcgfmError):
    """A recording contradicts itself or is out of bounds."""


class FormatError(EcgfmError):
    """A file is not what it says it is."""


class LabelError(EcgfmError):
    """A code or statement that the label scheme refuses."""


class ConfigError(EcgfmError):
    """A configuration value that can't work."""


class TrainingError(EcgfmError):
    """Training stopped and can't go on as it is."""


class ReleaseError(EcgfmError):
    """A curated release that fails its own checksums or form."""


class StoreError(EcgfmError):
    """Files kept to save work are missing, cut short or do not fit together; they can be written again."""
