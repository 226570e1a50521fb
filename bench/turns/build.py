"""Generate calls: the same seed and speech give the same calls."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from bench.turns.calls import RATE, Samples, load_all
from bench.turns.channels import CHANNELS, babble
from bench.turns.corpus import VOICES, Corpus, Speaker, recorded, spoken
from bench.turns.families import FAMILIES, Draft
from bench.turns.truth import key, sentences

WEIGHTS = {
    "clean": 4, "pauses": 8, "trailing": 3, "dictation": 9, "short": 5, "backchannel": 5,
    "barge_in": 7, "noises": 4, "side_talk": 4, "hello": 3, "silence": 2, "dtmf": 2, "resume": 4,
    "echo": 2,
}  # fmt: skip
"""How many calls of each family there are to a hundred or so events."""


def build(
    out: Path,
    *,
    speech: Path | None = None,
    families: list[str] | None = None,
    channels: list[str] | None = None,
    events: int = 300,
    seed: int = 1,
) -> int:
    """Generate calls into a folder.

    Args:
        out: Where; each call gets a folder of its own.
        speech: Recordings, with a MANIFEST.csv; the embedded voice without them.
        families: Which; all without it.
        channels: Which; all without it.
        events: How many to come near to.
        seed: Of everything that is drawn.

    Returns:
        How many calls there are.
    """
    import soundfile

    out.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    speaker = Speaker()
    corpus = spoken(speaker, random)
    if speech is not None:
        found = recorded(speech, Path(".cache") / f"transcripts-{speech.resolve().name}.json")
        corpus = Corpus(
            requests=found.requests or corpus.requests,
            digits=found.digits,
            room=found.room or corpus.room,
        )
    soundfile.write(out / "babble.wav", babble(corpus.room, 20.0, random), RATE)
    chosen = families or list(FAMILIES)
    per_round = sum(WEIGHTS[name] * FAMILIES[name][1] for name in chosen)
    count = 0
    for name in chosen:
        make, scored = FAMILIES[name]
        share = events * WEIGHTS[name] * scored / per_round
        for number in range(max(1, round(share / scored))):
            lines = channels or list(CHANNELS)
            # Half of the calls are clean, the others go through the worse lines in turn.
            bad = [line for line in lines if line != "clean"]
            clean = "clean" in lines and (number % 2 == 0 or not bad)
            channel = (
                "clean" if clean else bad[(number // 2 if "clean" in lines else number) % len(bad)]
            )
            draft = Draft(
                id=f"{name}-{number:03d}-{channel}",
                family=name,
                channel=channel,
                random=np.random.default_rng([seed, len(name), ord(name[0]), number]),
                speaker=speaker,
                corpus=corpus,
                voice=number % len(VOICES),
            )
            make(draft, number)
            data, audio = draft.data()
            folder = out / draft.id
            folder.mkdir(exist_ok=True)
            soundfile.write(folder / "user.wav", audio, RATE)
            (folder / "call.json").write_text(json.dumps(data, indent=1), encoding="utf-8")
            count += 1
    return count


STOCK = ("Are you still there?", "One moment, please.", "Thanks for calling. Goodbye.",
         "I'm sorry, I'm having trouble right now. Could you say that again?")  # fmt: skip


def render_agent(folder: Path) -> None:
    """Render what the agent says in the calls of a folder, as far as it is not there yet."""
    voices = folder / "voice"
    voices.mkdir(exist_ok=True)
    texts = {s for call in load_all(folder) for line in call.agent for s in sentences(line)}
    # A greeting is spoken whole by some systems, and sentence by sentence by others.
    texts |= {line for call in load_all(folder) for line in call.agent[:1]}
    missing = [t for t in [*sorted(texts), *STOCK] if not (voices / f"{key(t)}.npy").is_file()]
    if not missing:
        return
    speaker = Speaker()
    for text in missing:
        sound: Samples = speaker.agent(text)
        np.save(voices / f"{key(text)}.npy", sound)
