"""Says that images or poses do not determine a calibration, and what to do about it."""


class CalibrationRefused(ValueError):
    """There is an answer, but not one to rely on; the message names the reason and the cure."""
