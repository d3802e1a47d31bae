"""Signal processing on waveforms ``[lead, sample]``, without torch."""
