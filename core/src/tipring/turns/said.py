"""What the caller has said in a turn: final words, the transcriber's guess, what came before."""

from __future__ import annotations

from tipring.turns.words import spoken


class Said:
    """The words of one turn.

    Attributes:
        before: What was said in turns before that had no audible answer, and is taken up again.
        interim: The transcriber's guess, whose final words are still to come.
        guess: A guess that was taken at its word, because the final ones did not come.
    """

    def __init__(self) -> None:
        self.before = self.interim = self.guess = ""
        self._finals: list[str] = []

    @property
    def text(self) -> str:
        """The words of this turn so far."""
        return " ".join([*self._finals, self.guess.strip()]).strip()

    @property
    def so_far(self) -> str:
        """The words of this turn so far, the transcriber's guess among them."""
        return " ".join([*self._finals, (self.guess or self.interim).strip()]).strip()

    @property
    def words(self) -> tuple[str, ...]:
        """The same, as words."""
        return spoken(self.so_far)

    @property
    def whole(self) -> str:
        """These, and those before that were not answered."""
        return f"{self.before} {self.text}".strip()

    def begin(self, before: str) -> None:
        """A turn begins."""
        self.before = before
        self.interim = self.guess = ""
        self._finals.clear()

    def hear_interim(self, text: str) -> None:
        """The transcriber guesses."""
        self.interim, self.guess = text, ""

    def hear_final(self, text: str) -> None:
        """These words will not change."""
        self.interim = self.guess = ""
        self._finals.append(text.strip())

    def take_guess(self) -> None:
        """Take the transcriber at its last word, until a final one comes after all."""
        if self.interim:
            self.interim, self.guess = "", self.interim

    def doubt_guess(self) -> None:
        """Its final may still come."""
        if self.guess:
            self.interim, self.guess = self.guess, ""
