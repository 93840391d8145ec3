"""What can be wrong with the images, models and scores of this room."""


class AnomalyError(Exception):
    """Anything that keeps an image from being judged; never a low score."""


class ImageError(AnomalyError):
    """An image that cannot be used: unreadable, truncated, 16 bit, of a strange shape."""


class ModelError(AnomalyError):
    """A backbone or a model package that is missing, damaged, foreign or not the expected one."""


class ModelMissing(ModelError):
    """There is no model where one is named."""


class WrongHash(ModelError):
    """The model is another one than the one named."""


class FitError(AnomalyError):
    """Good images from which no model can be fitted."""


class ScoreError(AnomalyError):
    """A score that is not a finite number."""
