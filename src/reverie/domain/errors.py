"""The errors that cross rooms, shaped by what the caller can do next.

ReverieError
├── InvalidInput            the request is well formed but cannot be met; change it
│   ├── MalformedInput      the request itself has the wrong form
│   │   └── MalformedId
│   └── AddressRefused      name a URL that this server may open
├── NotAuthenticated        bring a key
├── NotAllowed              this key may not
├── NotFound                name something that exists
├── Conflict                wait, or resolve what stands in the way
│   ├── Busy                another run holds the conversation
│   ├── ApprovalPending     answer the approval first
│   ├── SentBefore          the otid is taken; send other content under another one
│   ├── Entangled           a tool call would wait for its own run; finish the turn first
│   └── RunLost             the run was cancelled or taken over while it was driven
├── Gone                    it existed and has expired
├── UnsupportedMedia        send another file type
├── TimedOut                a remote server did not answer in time
├── BadGateway              a remote server could not be reached
├── NotImplementedHere      this server does not do that; the text says why
├── Unavailable             try again later
│   └── Draining            the server is shutting down
├── ToolError               goes to the model as the tool's result, never to HTTP
└── ModelError              the model provider failed; see its subclasses
"""

from reverie.domain.stop_reason import StopReason


class ReverieError(Exception):
    """Any failure this server names. `str()` of it is fit for a user."""


class InvalidInput(ReverieError):
    """A well-formed request that cannot be met as it stands."""


class MalformedInput(InvalidInput):
    """A request whose form is wrong; `field` is the path of the offending part."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class MalformedId(MalformedInput):
    """An id without its prefix or without a UUID."""

    def __init__(self, field: str, value: str, prefix: str) -> None:
        super().__init__(field, f"{value!r} is not an id of the form '{prefix}-<uuid>'")


class AddressRefused(InvalidInput):
    """A URL that leads where nobody outside should be led, or is none of the web."""


class NotAuthenticated(ReverieError):
    """No key, or one that is not known."""


class NotAllowed(ReverieError):
    """A known caller asks for something outside its scopes."""


class NotFound(ReverieError):
    """The named thing does not exist in the caller's organisation."""

    def __init__(self, what: str, name: str, remedy: str = "") -> None:
        super().__init__(f"{what} {name!r} does not exist{'; ' + remedy if remedy else ''}")
        self.what = what
        self.name = name


class Conflict(ReverieError):
    """The request collides with what is stored."""


class Busy(Conflict):
    """Another run holds the conversation."""

    def __init__(self, conversation: str, run_id: str) -> None:
        super().__init__(
            f"conversation {conversation!r} is currently being processed by another request (run_id={run_id}); "
            "wait for it to end, cancel it, or send the message again later"
        )
        self.run_id = run_id


class ApprovalPending(Conflict):
    """A tool call waits for a person; other messages must wait too."""

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"the agent is waiting for approval on a tool call ({request_id}). "
            "Please approve or deny the pending request before continuing"
        )
        self.request_id = request_id


class SentBefore(Conflict):
    """An input with this otid was sent before, and is not the same."""

    def __init__(self, otid: str, run_id: str, why: str) -> None:
        super().__init__(
            f"an input with otid {otid!r} was sent to this conversation before, {why} (run_id={run_id}); an otid names "
            "one input: send this one under another otid"
        )
        self.run_id = run_id


class Entangled(Conflict):
    """A tool call asks for a run that could end only after its own, or that lies too far from where it all began."""


class RunLost(Conflict):
    """The run's fence no longer holds: it was cancelled, or another worker took it over."""


class Gone(ReverieError):
    """What is asked for existed and has expired."""


class UnsupportedMedia(ReverieError):
    """A file type that cannot be read."""


class TimedOut(ReverieError):
    """A remote server did not answer in time."""


class BadGateway(ReverieError):
    """A remote server could not be reached."""


class NotImplementedHere(ReverieError):
    """An operation this server refuses, with the reason."""


class Unavailable(ReverieError):
    """The server cannot serve this now."""


class DatabaseUnavailable(Unavailable):
    """The database cannot be used for a while. What was being stored is undone, if the commit was not sent yet."""


class Draining(Unavailable):
    """The server is shutting down and starts no new runs."""


class ToolError(ReverieError):
    """A tool refuses or fails; the text is written for the model to act on."""


class ModelError(ReverieError):
    """The model provider failed, or sent what cannot be used."""

    error_type: str = "llm_error"
    """Word that client programs look for in an error event."""
    stop_reason: StopReason = StopReason.LLM_API_ERROR
    retryable: bool = False
    """Whether the same request may succeed if sent again."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.provider_status: int | None = None
        """What the provider answered with, where it was an HTTP status."""


class ModelAuthFailed(ModelError):
    """The provider refuses our key."""

    error_type = "llm_authentication"


class ModelOutOfCredits(ModelError):
    """The provider account has no quota or credit left."""

    stop_reason = StopReason.INSUFFICIENT_CREDITS


class ModelRateLimited(ModelError):
    """The provider asks us to slow down; `retry_after_s` is its wish when it names one."""

    error_type = "llm_rate_limit"
    retryable = True


class ModelOverloaded(ModelError):
    """The provider is up but cannot take the request now, or failed inside."""

    retryable = True


class ModelUnreachable(ModelError):
    """No connection to the provider could be made."""

    retryable = True


class ModelTimedOut(ModelError):
    """The provider did not answer in time."""

    error_type = "llm_timeout"
    retryable = True


class ModelStreamCut(ModelError):
    """The provider's stream ended before its reply was complete."""

    error_type = "stream_incomplete"
    retryable = True


class ModelNotServed(ModelError):
    """The provider does not know the model."""


class ModelRefused(ModelError):
    """The provider refuses the content, or the request as malformed."""


class ModelReplyWithheld(ModelRefused):
    """The provider's content rules kept a reply back: the request was taken, and nothing usable came of it."""

    stop_reason = StopReason.INVALID_LLM_RESPONSE


class ModelContextOverflow(ModelError):
    """The request is larger than the model's context window."""

    error_type = "context_window_overflow"


class PromptOverflow(ModelError):
    """Even the system prompt alone does not fit the model's context window."""

    error_type = "context_window_overflow_in_system_prompt"
    stop_reason = StopReason.CONTEXT_WINDOW_OVERFLOW_IN_SYSTEM_PROMPT


class ModelEmptyReply(ModelError):
    """The provider answered with neither text nor a tool call."""

    error_type = "llm_empty_response"
    stop_reason = StopReason.INVALID_LLM_RESPONSE
    retryable = True


class ModelBadReply(ModelError):
    """The provider answered with something that is not in its own format."""

    stop_reason = StopReason.INVALID_LLM_RESPONSE
    retryable = True
