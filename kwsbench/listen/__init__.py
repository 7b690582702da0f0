"""A model on a stream of audio: `alarms` decides, `sound_files` and `microphone` are where the stream comes from."""

SHIFT_S = 0.1
SMOOTH = 3
THRESHOLD = 0.5
REFRACTORY_S = 1.0
"""What `alarms.Rules` are by default; all but the last are those of the demo of the Sber keyword homework."""
