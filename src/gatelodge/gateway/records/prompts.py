"""The prompts of sobject-all: texts that say how to use its tools for one errand. They read nothing themselves."""

import mcp_types as types
import msgspec

NAME = types.PromptArgument(
    name="sobject-name", description="An object's API name, for example Account.", required=True
)
LONGEST = 200


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt. ``text`` has its arguments in braces."""

    name: str
    title: str
    description: str
    arguments: tuple[types.PromptArgument, ...]
    text: str

    def described(self) -> types.Prompt:
        """As it is listed."""
        return types.Prompt(
            name=self.name, title=self.title, description=self.description, arguments=list(self.arguments)
        )

    def filled(self, given: dict[str, str]) -> types.GetPromptResult:
        """The text with its arguments. Raises ``ValueError`` that says which is missing or too long."""
        text = self.text
        for each in self.arguments:
            value = given.get(each.name, "").strip()
            if not value or len(value) > LONGEST:
                raise ValueError(f"{self.name} needs the argument {each.name}, of 1 to {LONGEST} characters")
            # Quoted, as the data that it is.
            text = text.replace(f"{{{each.name}}}", msgspec.json.encode(value).decode())
        message = types.PromptMessage(role="user", content=types.TextContent(type="text", text=text))
        return types.GetPromptResult(description=self.description, messages=[message])


PROMPTS = (
    Prompt(
        name="recordReview",
        title="Record Review Briefing",
        description="Reviews one record before a meeting: what it says, what hangs on it, what changed last, what is due.",
        arguments=(NAME, types.PromptArgument(name="id", description="The record's id.", required=True)),
        text="Prepare a briefing on the record with the id {id} of the object {sobject-name}. Ask getObjectSchema for its"
        " fields and relationships, read the record with soqlQuery, and follow its child relationships with"
        " getRelatedRecords. Say in this order: who or what it is, in two sentences; what is open or due, with dates; what"
        " changed last; what is missing or contradicts itself. Name the id of each record that you speak of. Change"
        " nothing.",
    ),
    Prompt(
        name="objectOverview",
        title="Object Overview",
        description="Sums an object up: how many records, spread over which values, how fresh, and where fields are empty.",
        arguments=(NAME,),
        text="Sum up the records of the object {sobject-name}. Ask getObjectSchema for its fields, then count by aggregate"
        " soqlQuery: all records, groups of each field that takes few values, the newest and the oldest, and how many have"
        " no value in the fields that matter. Answer in one table and three sentences. Change nothing.",
    ),
)
BY_NAME = {prompt.name: prompt for prompt in PROMPTS}
