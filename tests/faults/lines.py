"""What is said in the calls of the fault table. No word has only one letter.

An emulated voice sends 16 characters at a time: the second and the third sentence are cut behind a
word, so that a line that breaks off does so between two words.
"""

from __future__ import annotations

GREETING = "Riverside Kitchen, good evening."
SAID = ("I need a table for tonight.", "For four people, please.")
ANSWERS = (
    "Gladly. And how many of you will there be?",
    "Four guests, so be it. See you later tonight, then.",
)
APOLOGY = "Sorry, please say that again."
MOMENT = "One moment."
NUDGE = "Still there?"
GOODBYE = "Until soon."

FIRST = ("Gladly.", "And how many of you will there be?")
SECOND = ("Four guests, so be it.", "See you later tonight, then.")
LINES = (GREETING, *FIRST, *SECOND, APOLOGY, MOMENT, NUDGE, GOODBYE)
