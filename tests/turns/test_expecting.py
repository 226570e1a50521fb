"""What the agent asked, the digits in an answer, and whether the answer is whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tipring.turns.expecting import Expecting
from tipring.turns.questions import questions_for
from tipring.turns.words import Unfinished, base_language, spoken, words_for


@pytest.mark.parametrize(
    ("language", "sentence", "kind"),
    [
        ("en", "Could I have your phone number, please?", "phone number"),
        ("en", "What's the best number to reach you?", "phone number"),
        ("en", "Is 555 0123 your phone number?", "yes or no"),
        ("en", "Could you spell your last name?", "spelling"),
        ("en", "Please tell me your order number.", "code"),
        ("en", "What's your zip code?", "code"),
        ("en", "Do you have your member ID?", "code"),
        ("en", "Do you have your card with you?", "yes or no"),
        ("en", "What are the last four of your social?", "code"),
        ("en", "Your telephone number with the area code?", "phone number"),
        ("en", "What number can we reach you on?", "phone number"),
        ("en", "Go ahead with your number.", "phone number"),
        ("en", "What's your email address?", "email"),
        ("en", "And your e-mail?", "email"),
        ("en", "What's your date of birth?", "date of birth"),
        ("en", "When were you born?", "date of birth"),
        ("en", "When would you like to come in?", "date"),
        ("en", "Where were you born?", None),
        ("en", "What company are you calling from?", None),
        ("en", "What is the address, including the zip code?", "address"),
        ("en", "What's your address?", "address"),
        ("en", "Your address is 12 Main Street, is that right?", "yes or no"),
        ("en", "Which day works for you?", "date"),
        ("en", "Shall I book a table?", "yes or no"),
        ("en", "How can I help?", None),
        ("en", "I have your phone number.", None),
        ("es", "¿Me da su número de teléfono?", "phone number"),
        ("es", "¿Puede deletrear su apellido?", "spelling"),
        ("es", "¿Cuál es su dirección?", "address"),
        ("es", "¿Cuál es su dirección de correo?", "email"),
        ("es", "¿Su fecha de nacimiento?", "date of birth"),
        ("es", "¿Cuáles son los últimos cuatro dígitos de su tarjeta?", "code"),
        ("es", "¿Me deletrea su apellido?", "spelling"),
        ("es", "¿Le reservo una mesa?", "yes or no"),
        ("es", "Su mesa está lista.", None),
        ("xx", "What is your phone number?", "phone number"),
    ],
)
def test_a_question_says_what_it_asks_for(language: str, sentence: str, kind: str | None) -> None:
    assert questions_for(language).kind_of(sentence) == kind


@pytest.mark.parametrize(
    ("language", "sentence", "telling"),
    [
        ("en", "May I have your name, please?", True),
        ("en", "What's your name?", True),
        ("en", "What's the best number to reach you?", True),
        ("en", "May I ask who's calling?", True),
        ("en", "Could you spell your last name?", True),
        ("en", "Can I get you anything else?", False),
        ("en", "Could you come in on Tuesday?", False),
        ("en", "Could you tell me if it is plugged in?", False),
        ("en", "Can I have your permission to record this call?", False),
        ("en", "Would you like me to email you a confirmation?", False),
        ("en", "Do you have your phone with you?", False),
        ("en", "Did you get your package?", False),
        ("en", "Shall I repeat that?", False),
        ("en", "Would you like to have the window seat?", False),
        ("en", "How does that sound?", False),
        ("en", "When would you like to come in?", False),
        ("es", "¿Me da su nombre?", True),
        ("es", "¿Puede venir el martes?", False),
        ("es", "¿Me puede decir si tiene cita?", False),
    ],
)
def test_a_mere_sure_is_no_answer_to_who_asks_to_be_told(
    language: str, sentence: str, telling: bool
) -> None:
    expecting = Expecting(questions_for(language))
    expecting.agent_said(sentence)
    assert expecting.telling() is telling
    assert expecting.telling("phone number") and not expecting.telling("yes or no")
    answer = expecting.judge("Sí." if language == "es" else "Sure.")
    assert not (telling and answer and answer.done)
    expecting.caller_answered()
    expecting.agent_said("I see.")
    assert not expecting.telling()


@pytest.mark.parametrize(
    "sentence",
    ["Would you like me to email you a confirmation?", "Do you have your phone with you?"],
)
def test_a_yes_answers_a_closed_question_whatever_it_is_about(sentence: str) -> None:
    expecting = Expecting(questions_for("en"))
    expecting.agent_said(sentence)
    judged = expecting.judge("Yes.")
    assert judged is not None and judged.done


@pytest.mark.parametrize(
    ("language", "sentence", "is_open"),
    [
        ("en", "Hello, thanks for calling. How can I help?", True),
        ("en", "Okay, I have that. What else?", True),
        ("en", "Is there anything else I can do for you?", True),
        ("en", "Tell me what happened.", True),
        ("en", "How many nights will you stay?", False),
        ("en", "Which day suits you?", False),
        ("es", "¿En qué puedo ayudarle?", True),
        ("es", "¿A qué hora?", False),
    ],
)
def test_an_open_question_asks_for_a_story(language: str, sentence: str, is_open: bool) -> None:
    assert questions_for(language).is_open(sentence) is is_open


def test_an_open_question_is_open_until_another_one_or_an_answer() -> None:
    expecting = Expecting(questions_for("en"))

    def after(sentence: str) -> bool:
        expecting.agent_said(sentence)
        return expecting.open

    said = ("How can I help?", "Take your time.", "Are you still there?", "How can I help?")
    assert [after(sentence) for sentence in said] == [True, True, False, True]
    expecting.caller_answered()
    assert not after("I see.")


def _a_question_cut_in_with(unsaid: str) -> Expecting:
    expecting = Expecting(questions_for("en"))
    expecting.agent_said("What is your phone number?")
    expecting.caller_answered()
    for sentence in ("Thank you.", "Could you spell your last name?"):
        expecting.agent_said(sentence)
    expecting.agent_cut(unsaid)
    return expecting


def test_a_question_that_was_hardly_heard_was_not_asked() -> None:
    expecting = _a_question_cut_in_with("spell your last name?")
    assert expecting.kind == "phone number"
    expecting.caller_answered()
    expecting.agent_said("Could you spell your last name?")
    assert expecting.kind == "spelling"


def test_a_question_that_was_heard_but_for_a_word_was_asked() -> None:
    expecting = _a_question_cut_in_with("last name?")
    assert expecting.kind == "spelling"


def test_an_agent_that_was_stopped_for_nothing_has_asked() -> None:
    expecting = _a_question_cut_in_with("spell your last name?")
    expecting.agent_resumed()
    expecting.agent_said("spell your last name?")
    assert expecting.kind == "spelling"


def test_a_first_question_counts_however_little_of_it_was_heard() -> None:
    expecting = Expecting(questions_for("en"))
    expecting.agent_said("Hello, how can I help you?")
    expecting.agent_cut("how can I help you?")
    assert expecting.story


def test_a_yes_to_whether_they_are_there_is_not_the_number() -> None:
    expecting = Expecting(questions_for("en"))
    for sentence in ("What is your phone number?", "Are you still there?"):
        expecting.agent_said(sentence)
    assert (expecting.kind, expecting.telling()) == ("phone number", True)
    assert expecting.judge("Yes.") is None


def test_who_is_asked_for_letters_may_give_a_number() -> None:
    expecting = Expecting(questions_for("en"))
    expecting.agent_said("Could you spell your last name?")
    judged = expecting.judge("nine zero nine")
    assert judged is not None and not judged.done


def test_what_else_is_dictated_can_be_told() -> None:
    expecting = Expecting(questions_for("en"), dictated=["licence plate"])
    expecting.agent_said("What is the licence plate?")
    judged = expecting.judge("K L 7")
    assert judged is not None and not judged.done
    expecting.caller_answered()
    expecting.agent_said("I have the licence plate.")
    assert expecting.kind is None


@pytest.mark.parametrize(
    ("language", "text", "unfinished"),
    [
        ("en", "What is it for?", None),
        ("en", "What is it for.", Unfinished.BEGUN),
        ("en", "What is it for", Unfinished.BEGUN),
        ("en", "I really do think so.", None),
        ("en", "I think so", Unfinished.BEGUN),
        ("en", "Is it the?", Unfinished.BEGUN),
        ("en", "Can I have.", Unfinished.BEGUN),
        ("en", "That is all I need.", None),
        ("en", "Yes, I would.", None),
        ("en", "Okay, give me a second.", Unfinished.TRAILING),
        ("en", "Hold on, let me get my card.", None),
        ("es", "Yo también.", None),
        ("es", "¿Es para?", Unfinished.BEGUN),
    ],
)
def test_some_words_that_end_no_sentence_end_a_few(
    language: str, text: str, unfinished: Unfinished | None
) -> None:
    assert words_for(language).unfinished_because(text, punctuates=True) is unfinished


@pytest.mark.parametrize(
    ("language", "text", "digits"),
    [
        ("en", "five five five, oh one double two", "5550122"),
        ("en", "415-555-0132", "4155550132"),
        ("en", "eight hundred, five five five", "800555"),
        ("en", "twenty three, forty, seventeen", "234017"),
        ("en", "thirty", "30"),
        ("en", "triple nine", "999"),
        ("en", "no number at all", ""),
        ("es", "seiscientos doce, treinta y cuatro", "61234"),
        ("es", "seiscientos treinta y cinco, veintidós, doble cuatro", "6352244"),
        ("es", "doscientos cinco", "205"),
        ("es", "novecientos", "900"),
    ],
)
def test_digits_are_counted_as_they_are_said(language: str, text: str, digits: str) -> None:
    assert questions_for(language).numbers.digits_in(spoken(text)) == digits


@pytest.mark.parametrize(
    ("sentence", "digits"),
    [
        ("What is your six-digit code?", 6),
        ("And the last four digits?", 4),
        ("What's your account number?", None),
        ("When was the last time?", None),
    ],
)
def test_a_question_may_say_how_many_digits_it_asks_for(sentence: str, digits: int | None) -> None:
    assert questions_for("en").digits_asked(sentence) == digits


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("You can reach me at five five five", "longer number"),
        ("It's 555", "longer number"),
        ("My number is 555 012", "longer number"),
        ("My number is 555 012 3456.", None),
        ("A table for four at seven thirty.", None),
        ("I was there in 2024.", None),
        ("Room 12.", None),
        ("That is S M I", "spelling"),
        ("Smith, that is S M I T H", None),
        ("Smith, S-M-I-T-H.", None),
        ("John Smith. J O H N", "spelling"),
        ("Smith, that is S M I T", "spelling"),
        ("At three p.m.", None),
        ("Two thirty.", None),
        ("2:30.", None),
        ("Tomorrow at two forty five.", None),
        ("In nineteen eighty five.", None),
        ("1985.", None),
        ("Two ninety", "longer number"),
    ],
)
def test_what_is_read_out_is_known_without_a_question(text: str, kind: str | None) -> None:
    judged = Expecting(questions_for("en")).judge(text)
    assert (judged.kind if judged else None) == kind


@given(st.text(alphabet="0123456789", max_size=14))
def test_a_number_said_digit_by_digit_has_just_these_digits(number: str) -> None:
    numbers = questions_for("en").numbers
    names = {digit: name for name, digit in numbers.digits.items() if len(digit) == 1}
    assert numbers.digits_in([names[digit] for digit in number]) == number


@pytest.mark.parametrize(
    ("language", "kind", "text", "done"),
    [
        ("en", "phone number", "555 012", False),
        ("en", "phone number", "555 012 3456", True),
        ("en", "phone number", "1 555 012 345", False),
        ("en", "phone number", "+1 555 012 3456", True),
        ("en", "phone number", "I don't have one.", None),
        ("en", "phone number", "555 012 is the old one", None),
        ("es", "phone number", "612 345 678", True),
        ("es-MX", "phone number", "612 345 678", False),
        ("en", "spelling", "S M I", False),
        ("en", "spelling", "S-M-I-T-H", False),
        ("en", "spelling", "It is Smith.", None),
        ("en", "spelling", "It is Smith. S M I T", False),
        ("en", "spelling", "It is Smith. S M I T H", None),
        ("en", "email", "Jane Smith at gmail", False),
        ("en", "email", "Jane underscore", False),
        ("en", "email", "It's J S M", False),
        ("en", "email", "Jane Smith at gmail dot com", None),
        ("en", "email", "jane.smith@gmail.com, thanks.", None),
        ("en", "email", "jane@the-shop", False),
        ("en", "email", "I don't have one at the moment.", None),
        ("en", "email", "I'm not at my computer.", None),
        ("es", "email", "ana arroba correo", False),
        ("es", "email", "ana arroba correo punto es", None),
        ("en", "date of birth", "It's January", False),
        ("en", "date of birth", "The third of March", False),
        ("en", "date of birth", "January 5th", False),
        ("en", "date of birth", "March twenty two", False),
        ("en", "date of birth", "January fifth nineteen eighty", None),
        ("en", "date of birth", "January fifth, two thousand", None),
        ("en", "date of birth", "5/12/80", None),
        ("en", "date of birth", "May I ask why?", None),
        ("en", "date of birth", "Oh, I'd rather not say.", None),
        ("en", "date of birth", "I don't have one.", None),
        ("es", "date of birth", "Treinta y uno de mayo", False),
        ("es", "date of birth", "Primero de mayo del dos mil", None),
        ("en", "address", "Twelve", False),
        ("en", "address", "It is. forty two.", False),
        ("en", "address", "I live at twenty three", False),
        ("en", "address", "It is forty two Maple Avenue", False),
        ("en", "address", "12 Main Street", False),
        ("en", "address", "12 Main Street, Springfield, 62704", None),
        ("en", "date", "Tuesday", None),
        ("en", "date", "March", False),
        ("en", "date", "March third", None),
        ("en", "yes or no", "Yes please", True),
        ("en", "yes or no", "Yes but not today", None),
        ("en", "code", "A 7 4", False),
    ],
)
def test_an_answer_is_whole_or_waited_for_or_no_answer_of_that_kind(
    language: str, kind: str, text: str, done: bool | None
) -> None:
    judged = questions_for(language).judge(kind, text)
    assert (judged.done if judged else None) is done


def test_a_yes_or_no_question_does_not_take_the_place_of_a_request() -> None:
    expecting = Expecting(questions_for("en"))
    for sentence in ("What is your phone number?", "Take your time.", "Are you there?"):
        expecting.agent_said(sentence)
    assert expecting.kind == "phone number"
    expecting.caller_answered()
    assert expecting.kind == "phone number"  # until the agent says something else
    expecting.agent_said("Thank you.")
    assert expecting.kind is None


@given(st.text(max_size=40))
def test_words_are_read_in_any_script_and_reading_them_again_changes_nothing(text: str) -> None:
    words = spoken(text)
    assert spoken(" ".join(words)) == words


@pytest.mark.parametrize("language", ["en", "es"])
def test_every_phrase_of_a_list_is_what_the_list_says(language: str) -> None:
    words = words_for(language)
    for phrase in words.backchannels:
        assert words.is_backchannel(" ".join(phrase))
        assert words.is_opener(" ".join(phrase))
    for phrase in words.unfinished:
        end = " ".join(phrase)
        assert words.unfinished_because(f"{end}.", punctuates=False) is Unfinished.BEGUN
        whole = f"a b c d {end}."
        assert words.unfinished_because(whole, punctuates=False) is Unfinished.TRAILING
    for filler in words.fillers:
        assert not words.has_content(filler)


@pytest.mark.parametrize(
    ("tag", "base"), [("es-MX", "es"), ("EN_us", "en"), ("de", "en"), ("../en", "en"), ("", "en")]
)
def test_a_language_without_lists_has_the_english_ones(tag: str, base: str) -> None:
    assert base_language(tag) == base
    assert words_for(tag).language == base


@pytest.mark.parametrize(
    ("language", "text", "spelled"),
    [
        ("en", "S and y.", True),
        ("en", "be R why", False),
        ("en", "T. H. why", True),
        ("en", "oh I see", False),
        ("en", "I want B and D", False),
        ("es", "ce L M", True),
        ("es", "ve a ese", False),
    ],
)
def test_letters_may_be_written_as_the_words_that_they_sound_like(
    language: str, text: str, spelled: bool
) -> None:
    judged = questions_for(language).unasked(text)
    assert (judged is not None) is spelled
