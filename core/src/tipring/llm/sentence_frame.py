"""A frame that holds one whole sentence of the model's."""

from __future__ import annotations

from dataclasses import dataclass

from pipecat.frames.frames import AggregatedTextFrame, LLMTextFrame
from pipecat.utils.text.base_text_aggregator import TextType


@dataclass
class SentenceFrame(AggregatedTextFrame, LLMTextFrame):
    """What the model said, cut where a sentence ends.

    It is a model's text to whoever looks for that, and to Pipecat's TTS services it is text that is
    ready to be spoken. They would otherwise look for the end of the sentence themselves, and wait
    with it for the first letter of the next one, which here comes with a whole sentence.

    Attributes:
        text: The sentence, without white space around it; whoever joins sentences adds a space.
    """

    text_type: TextType | str = TextType.SENTENCE

    def __post_init__(self) -> None:
        super().__post_init__()
        self.includes_inter_frame_spaces = False
