"""The log file format: written by the monitor, read by the engine; light enough for the zygote."""
