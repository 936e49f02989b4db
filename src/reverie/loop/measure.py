"""How large the next request is, and how large it may be."""

from dataclasses import dataclass

from reverie.context.compaction import Budget, budget_of, most_tokens
from reverie.context.tokens import estimate_text, estimate_tools
from reverie.domain.errors import ModelContextOverflow, PromptOverflow
from reverie.domain.token_ratio import TokenRatio
from reverie.models.base import Prompt


@dataclass(frozen=True, slots=True)
class Measured:
    """A request with its size; numbers are estimated tokens."""

    prompt: Prompt
    tokens: int
    window: int

    @property
    def fits(self) -> bool:
        """Whether it may be sent as it is; one that does not may still be within its `budget`."""
        return self.tokens <= most_tokens(self.window, self._answer)

    @property
    def budget(self) -> Budget:
        """What it may take; measuring the fixed part takes a while."""
        fixed = estimate_text(self.prompt.system) + estimate_tools(self.prompt.tools)
        return budget_of(self.window, fixed, self._answer)

    def refuse_hopeless(self, ratio: TokenRatio, error: ModelContextOverflow) -> None:
        """Say so when no compaction can help: the fixed part alone is too large.

        Raises:
            PromptOverflow: instructions, memory and tools fill the window.
        """
        fixed = self.budget.fixed
        if fixed >= self.window:
            raise PromptOverflow(
                f"the system prompt with its memory blocks and tools takes about {ratio.counted(fixed)} tokens and "
                f"the context window has {ratio.counted(self.window)}; shorten the instructions or the memory blocks, "
                "detach tools, or use a larger model"
            ) from error

    @property
    def _answer(self) -> int:
        return self.prompt.settings.max_output_tokens or 0
