"""The science: recordings, waveforms, labels, the model and active learning. Knows no database and no web."""
