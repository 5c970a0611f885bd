"""Reading what a request says, once and strictly: repeated OAuth parameters, NUL and bad UTF-8 are refused."""

from urllib.parse import unquote_to_bytes

from starlette.requests import Request

from gatelodge.web.errors import BadRequest
from gatelodge.words import _

FORM = "application/x-www-form-urlencoded"
MOST_FORM_BYTES = 64 * 1024
MOST_PARAMETERS = 100
LONGEST_PARAMETER = 8192


async def read_form(
    request: Request,
    longest: int = LONGEST_PARAMETER,
    *,
    most: int = MOST_PARAMETERS,
    largest: int = MOST_FORM_BYTES,
) -> list[tuple[str, str]]:
    """The fields of an urlencoded body, in order: ``most`` of them, each of ``longest`` bytes at most, ``largest`` bytes
    in all. Raises ``BadRequest`` (400, 413, 415).
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != FORM:
        raise BadRequest(
            _("the body must be {form}, not {Type!s:.80}").format(
                form=FORM, Type=content_type or _("without a Content-Type")
            ),
            415,
        )
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > largest:
            raise BadRequest(_("the body is larger than {most_form_bytes} bytes").format(most_form_bytes=largest), 413)
        chunks.append(chunk)
    return parse(b"".join(chunks), longest, most)


def check_readable(query: bytes) -> None:
    """Refuse a query that holds NUL or is no UTF-8, whether or not the endpoint reads it: the two databases, and
    programs before and behind us, disagree on what such a text is. Raises ``BadRequest``.
    """
    if query.isascii() and b"%" not in query and b"\x00" not in query:
        return
    _text(query, len(query))


def parse(raw: bytes, longest: int = LONGEST_PARAMETER, most: int = MOST_PARAMETERS) -> list[tuple[str, str]]:
    """The pairs of an urlencoded text. Raises ``BadRequest`` for what no form means."""
    pairs = raw.split(b"&") if raw else []
    if len(pairs) > most:
        raise BadRequest(
            _("there are {n} parameters; at most {most_parameters} are allowed").format(
                n=len(pairs), most_parameters=most
            )
        )
    fields = []
    for pair in pairs:
        if pair:
            name, _equals, value = pair.partition(b"=")
            fields.append((_text(name, longest), _text(value, longest)))
    return fields


def _text(raw: bytes, longest: int) -> str:
    if b"%" in raw or b"+" in raw:
        raw = unquote_to_bytes(raw.replace(b"+", b" "))
    if len(raw) > longest:
        raise BadRequest(
            _("a parameter has {n} bytes; at most {longest} are allowed").format(n=len(raw), longest=longest)
        )
    try:
        text = raw.decode()  # also refuses surrogates
    except UnicodeDecodeError:
        raise BadRequest(_("a parameter is not valid UTF-8")) from None
    if "\x00" in text:
        raise BadRequest(_("a parameter contains the character NUL"))
    return text


def once(fields: list[tuple[str, str]]) -> dict[str, str]:
    """OAuth parameters by name: without a value they count as absent, and none may come twice (RFC 6749 §3.1, §3.2).

    Raises ``Repeated``. ``resource`` may come twice (RFC 8707 §2); here it is one, like every audience we issue.
    """
    found: dict[str, str] = {}
    for name, value in fields:
        if value:
            if name in found:
                raise Repeated(name)
            found[name] = value
    return found


class Repeated(BadRequest):
    """A parameter came twice, so two readers of the request could disagree on what it says."""

    def __init__(self, name: str) -> None:
        super().__init__(_("the parameter {name!s:.80} is sent more than once").format(name=name))
        self.name = name


def number(typed: str, default: int) -> int:
    """A whole number that a person typed; ``default`` for nothing, -1 for what is no number (no rule allows it)."""
    text = typed.strip()
    if not text:
        return default
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1  # noqa: PLR2004 - more digits than any rule
