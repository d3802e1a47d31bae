"""Errors of the web side. The API turns each into its status and a body `{"error": kind, "message": words}`."""


class AnnotatorError(Exception):
    """Base: `status` is the HTTP status, `kind` a stable word for programs, the message is for people."""

    status = 400
    kind = "invalid"

    def __init__(self, message: str, **detail: object) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class InvalidInput(AnnotatorError):
    """The request can't be right, whatever the state."""


class NotAllowed(AnnotatorError):
    """This person may not do this to this thing."""

    status = 403
    kind = "not_allowed"


class NotFound(AnnotatorError):
    """No such thing, or none this person may know of."""

    status = 404
    kind = "not_found"


class WrongState(AnnotatorError):
    """Someone was first, a lease ran out, or the thing has moved on."""

    status = 409
    kind = "wrong_state"


class HeldBack(WrongState):
    """The gate lets this checkpoint through only with a written reason."""

    kind = "held_back"
