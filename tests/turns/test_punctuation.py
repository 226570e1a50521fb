"""Whether a missing full stop means something: what is declared, and what was shown."""

import pytest
from tipring.turns.punctuation import Punctuation, Transcribers


def ends(punctuation: Punctuation, *texts: str, waited: bool = True) -> None:
    for text in texts:
        punctuation.turn_over(text, waited=waited)


def test_what_is_declared_holds_at_first() -> None:
    assert Punctuation(True).counts
    assert not Punctuation(False).counts


def test_two_sentences_without_any_mark_disprove_it() -> None:
    punctuation = Punctuation()
    ends(punctuation, "i need a table")
    assert punctuation.counts
    ends(punctuation, "at eight on friday")
    assert not punctuation.counts


def test_a_mark_proves_it_again() -> None:
    punctuation = Punctuation()
    ends(punctuation, "i need a table", "at eight on friday", "It is for my mother, and")
    assert punctuation.counts


@pytest.mark.parametrize("text", ["It is for four, maybe", "Is it? i think", "Son las tres؟"])
def test_any_mark_counts(text: str) -> None:
    punctuation = Punctuation()
    ends(punctuation, "i need a table", text, "at eight on friday")
    assert punctuation.counts


@pytest.mark.parametrize("text", ["on tuesday", "five 0.5"])
def test_a_few_words_tell_nothing(text: str) -> None:
    punctuation = Punctuation()
    ends(punctuation, "i need a table", text, text)
    assert punctuation.counts


def test_a_point_in_a_number_is_no_mark() -> None:
    punctuation = Punctuation()
    ends(punctuation, "it costs 3.50 for two", "it costs 4.50 for two")
    assert not punctuation.counts


def test_a_turn_that_was_not_waited_on_tells_nothing() -> None:
    punctuation = Punctuation()
    ends(punctuation, "my number is five five five", "five five five one two", waited=False)
    assert punctuation.counts


def test_all_calls_of_a_host_learn_together() -> None:
    transcribers = Transcribers()
    ends(transcribers.punctuation("acme", declared=True), "i need a table", "at eight on friday")
    assert not transcribers.punctuation("acme", declared=True).counts
    assert transcribers.punctuation("deepgram", declared=True).counts
