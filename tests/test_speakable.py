"""What the voice gets to read, and what it is left alone with."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pipecat.utils.text.simple_text_aggregator import SimpleTextAggregator
from tipring.speech.speakable import Speakable, speakable, transform

SPELLED = {
    "Call 555-555-5555 now.": "Call 5 5 5, 5 5 5, 5 5 5 5 now.",
    "(555) 010-4477": "5 5 5, 0 1 0, 4 4 7 7",
    "555.010.4477": "5 5 5, 0 1 0, 4 4 7 7",
    "5550104477": "5 5 5, 0 1 0, 4 4 7 7",
    "1-800-555-1234": "1, 8 0 0, 5 5 5, 1 2 3 4",
    "+1 555 010 4477": "plus 1, 5 5 5, 0 1 0, 4 4 7 7",
    "+442079460958": "plus 4 4, 2 0 7, 9 4 6, 0 9 5 8",
    "+44 20 7946 0958": "plus 4 4, 2 0, 7 9 4 6, 0 9 5 8",
    "+352 26 12 34 56": "plus 3 5 2, 2 6, 1 2, 3 4, 5 6",
    "020 7946 0958": "0 2 0, 7 9 4 6, 0 9 5 8",
    "My number is 555-0123.": "My number is 5 5 5, 0 1 2 3.",
    "Please call 911.": "Please call 9 1 1.",
    "ext. 12": "extension 1 2",
    "Dial extension 4021, please": "Dial extension 4 0 2 1, please",
    "555-555-5555 x12": "5 5 5, 5 5 5, 5 5 5 5, extension 1 2",
    "Your order 100234 is ready": "Your order 1 0 0 2 3 4 is ready",
    "order #100234": "order number 1 0 0 2 3 4",
    "order number 4821": "order number 4 8 2 1",
    "#100234": "number 1 0 0 2 3 4",
    "The code is A1B2C3.": "The code is A 1 B 2 C 3.",
    "A1B2C3": "A 1 B 2 C 3",
    "confirmation code: QX7-99Z": "confirmation code: Q X 7, 9 9 Z",
    "INV-20391": "I N V, 2 0 3 9 1",
    "PIN 2024": "PIN 2 0 2 4",
    "card ending in 4242": "card ending in 4 2 4 2",
    "4111 1111 1111 1111": "4 1 1 1, 1 1 1 1, 1 1 1 1, 1 1 1 1",
    "123-45-6789": "1 2 3, 4 5, 6 7 8 9",
    "jo.smith@ex-ample.com": "jo dot smith at ex dash ample dot com",
    "See https://example.com/book.": "See example.com/book.",
}

ALONE = [
    "It is $12.50, or $1,299.99 with the table.",
    "That makes $5555555555 in all.",
    "We opened in 2024, on 10/05/2024, or 2024-10-05.",
    "Come at 3:30 or 10 a.m. on May 5, 2025.",
    "20% off 1,500 items, 99.9% of 40.",
    "I would like to order 1500 pizzas, or 2-3 of them.",
    "The extension 30 days is granted.",
    "Pi is 3.1415926535, and 123.4567890 is not a number to call.",
    "100-2000 people came; 5555555555 dollars were spent.",
    "Room 101, floor 3, 4 beds, 10 to 12 guests.",
    "COVID19, an MP3 at 10AM, a 1080P screen, B2B, 500GB, H1N1.",
    "Your account balance is 1500.",
    "Press * then #, or dial *67.",
    "He said 2*3 is 6, and 2**3 is 8.",
    "snake_case and e-mail stay.",
]

STRIPPED = {
    "**Yes**, _really_ *now*.": "Yes, really now.",
    "**Hello there.": "Hello there.",
    "See you then.**": "See you then.",
    "# Opening hours": "Opening hours",
    "- one\n* two\n> three": "one\ntwo\nthree",
    "Use `code` and [our page](https://example.com/2024).": "Use code and our page.",
    "---\nNext": "Next",
    "Great 😀 thanks!": "Great thanks!",
    "😀 Hi": "Hi",
    "Hi 👩‍👩‍👧.": "Hi.",
    "1️⃣ first": "1 first",
    "🇬🇧 London, ① and 🄀": "London, ① and 🄀",
    "**555-555-5555**": "5 5 5, 5 5 5, 5 5 5 5",
}

SPANISH = {
    "Llame al 612 345 678.": "Llame al 6 1 2, 3 4 5, 6 7 8.",
    "91 123 45 67": "9 1, 1 2 3, 4 5, 6 7",
    "55 1234 5678": "5 5, 1 2 3 4, 5 6 7 8",
    "+34 612 345 678, ext. 12": "más 3 4, 6 1 2, 3 4 5, 6 7 8, extensión 1 2",
    "Su código es 4821.": "Su código es 4 8 2 1.",
    "El número de pedido 100234": "El número de pedido 1 0 0 2 3 4",
    "ana@casa.es": "ana arroba casa punto es",
    "Son 612 345 678 euros, a las 15:30, el 5 de mayo de 2025.": (
        "Son 612 345 678 euros, a las 15:30, el 5 de mayo de 2025."
    ),
}


@pytest.mark.parametrize(("written", "said"), SPELLED.items())
def test_a_number_that_is_a_name_is_said_character_by_character(written: str, said: str) -> None:
    assert speakable(written) == said


@pytest.mark.parametrize("written", ALONE)
def test_quantities_prices_times_and_dates_are_left_alone(written: str) -> None:
    assert speakable(written) == written


@pytest.mark.parametrize(("written", "said"), STRIPPED.items())
def test_what_is_written_for_the_eye_is_not_read_out(written: str, said: str) -> None:
    assert speakable(written) == said


@pytest.mark.parametrize(("written", "said"), SPANISH.items())
def test_spanish_has_its_own_shapes_and_words(written: str, said: str) -> None:
    assert speakable(written, "es-MX") == said


def test_a_language_without_words_of_its_own_gets_the_english_ones() -> None:
    assert speakable("+33 1 23 45 67 89", "fr-FR").startswith("plus 3 3, 1, 2 3")


async def test_the_pipecat_form_says_the_same() -> None:
    written = "Order number 4821 is ready."
    assert await transform(written, "sentence") == speakable(written)
    assert (
        await Speakable("es").transform("Su código es 4821", "sentence") == "Su código es 4 8 2 1"
    )


async def test_no_shape_is_cut_in_two_where_pipecat_cuts_sentences() -> None:
    streamed = (
        "Call 555-555-5555 ext. 12 now. Or write to jo.smith@example.com. It is $12.50 at 3:30 p.m."
        " today. Dr. Jones is at +44 20 7946 0958. Your code is A1B2C3. "
    )
    aggregator = SimpleTextAggregator()
    sentences = [found.text async for found in aggregator.aggregate(streamed)]
    if rest := await aggregator.flush():
        sentences.append(rest.text)
    assert " ".join(speakable(one) for one in sentences) == (
        "Call 5 5 5, 5 5 5, 5 5 5 5 extension 1 2 now. Or write to jo dot smith at example dot com."
        " It is $12.50 at 3:30 p.m. today. Dr. Jones is at plus 4 4, 2 0, 7 9 4 6, 0 9 5 8."
        " Your code is A 1 B 2 C 3."
    )


# ── properties ──────────────────────────────────────────────────────────────────────────────────

words = st.sampled_from(
    "the please thanks tomorrow and we open at about room for guests you are welcome Monday".split()
)
small = st.integers(0, 999).map(str)
quantities = st.one_of(
    words,
    small,
    st.integers(1000, 999_999).map("{:,}".format),
    st.integers(0, 99_999).map(lambda cents: f"${cents / 100:.2f}"),
    st.integers(1900, 2099).map(lambda year: f"in {year}"),
    st.tuples(st.integers(0, 23), st.integers(0, 59)).map(lambda t: f"{t[0]}:{t[1]:02d}"),
    st.tuples(st.integers(1, 12), st.integers(1, 28)).map(lambda d: f"{d[0]}/{d[1]}/2025"),
    st.integers(0, 100).map("{}%".format),
    st.floats(0, 1000, allow_nan=False).map("{:.3f}".format),
)
plain = st.lists(
    st.one_of(words, quantities.map(lambda q: f"{q} guests")), min_size=1, max_size=12
).map(" ".join)

digits = st.text("0123456789", min_size=1, max_size=8)
shapes = st.one_of(
    st.from_regex(r"[2-9][0-9]{2}[-. ][0-9]{3}[-. ][0-9]{4}", fullmatch=True),
    st.from_regex(r"\+[1-9][0-9]{7,13}", fullmatch=True),
    st.from_regex(r"\+[1-9][0-9] [0-9]{2,3} [0-9]{3,4} [0-9]{4}", fullmatch=True),
    st.from_regex(r"(ext\.?|extension) [0-9]{1,6}", fullmatch=True),
    st.from_regex(r"order (number |#)?[0-9]{5,12}", fullmatch=True),
    st.from_regex(r"code:? [A-Z0-9]{4,8}(-[A-Z0-9]{2,4})?", fullmatch=True),
    st.from_regex(r"[a-z.]{1,8}[a-z]@[a-z0-9]{1,8}\.(com|org)", fullmatch=True),
    st.from_regex(r"https://[a-z0-9]{1,8}\.com/[a-z0-9]{0,6}", fullmatch=True),
    digits,
)
noise = st.text("0123456789+-.,:()# $%*_`~>x@ABab\n😀️⃣", max_size=30)
anything = st.lists(st.one_of(shapes, quantities, noise), max_size=8).map(" ".join)


def digits_of(text: str) -> str:
    return "".join(re.findall(r"\d", text))


@given(plain)
def test_text_without_such_shapes_is_unchanged(text: str) -> None:
    assert speakable(text) == text


@given(anything, st.sampled_from(["en", "es"]))
def test_digits_are_never_lost_and_never_reordered(text: str, language: str) -> None:
    # The address of a markdown link is the one thing that is meant to go.
    text = text.replace("[", "").replace("]", "")
    assert digits_of(speakable(text, language)) == digits_of(text)


@given(st.text(max_size=60))
def test_no_text_makes_it_fail_or_lose_a_letter_outside_links(text: str) -> None:
    text = re.sub(r"[\[\]@/#+]", "", text)
    letters = re.compile(r"[^\W\d_]")
    kept = letters.findall(speakable(text))
    # Words may be added ("extension"), and a fence's language goes with the fence.
    if not re.search(r"(?i)ext|anexo|interno|x|[`~]", text):
        assert kept == letters.findall(text)


@given(anything, st.sampled_from(["en", "es"]))
def test_what_was_made_speakable_is_left_alone_the_second_time(text: str, language: str) -> None:
    # "+4420 7@x.com" is said with a 7 of its own, which could then be the end of the number.
    # So is an address on the web, without its "https://".
    assume(not re.search(r"\d[\w.+-]*@|://", text))
    once = speakable(text, language)
    assert speakable(once, language) == once


@given(st.from_regex(r"[2-9][0-9]{2}-[0-9]{3}-[0-9]{4}", fullmatch=True), plain, plain)
def test_a_phone_number_is_found_in_any_sentence(number: str, before: str, after: str) -> None:
    said = speakable(f"{before} {number}, {after}")
    a, b, c = (" ".join(part) for part in number.split("-"))
    assert said == f"{before} {a}, {b}, {c}, {after}"
