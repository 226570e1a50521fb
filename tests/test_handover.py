"""A whole call in which turn detector and transcriber die, and the next ones take over."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest
from tipring.testing import Phone, run
from tipring.testing import Script as Calls
from tipring.testing.hosted import hosted

from tests.emulators.deepgram import WRONG_KEY, DeepgramEmulator
from tests.emulators.elevenlabs import KEY as ELEVENLABS_KEY
from tests.emulators.elevenlabs import ElevenLabs
from tests.emulators.flux import FluxEmulator, FluxScenario
from tests.emulators.gateway import ACCOUNT, KEYS, TOKEN, GatewayEmulator
from tests.emulators.gateway_streams import Reply
from tests.emulators.socket import Fault
from tests.test_production import ANSWERS, CONFIG, SAID, heard, voice
from tests.told import Told

pytestmark = pytest.mark.line


@pytest.mark.timeout(180)
async def test_when_flux_dies_in_mid_sentence_the_next_detector_takes_over_and_no_word_is_lost(
    tmp_path: Path,
) -> None:
    speech = heard()  # both hear the same caller
    # It says nothing more from its first word on, and is found out in the midst of the sentence.
    # The emulated one that takes over hears whole sentences, whatever was cut off their begin.
    dies = FluxScenario(faults=(Fault(do="mute", at=2.9),))
    refuses = FluxScenario(refuse=WRONG_KEY)
    config = tmp_path / "tipring.toml"
    told = Told()
    async with (
        DeepgramEmulator(speech, interim_every=0.3) as deepgram,
        FluxEmulator(speech, [dies], otherwise=refuses) as flux,
        GatewayEmulator(replies=[Reply(text=text) for text in ANSWERS]) as gateway,
        ElevenLabs() as elevenlabs,
    ):
        config.write_text(
            CONFIG.format(
                turn='flux", "smart',
                deepgram=deepgram.url,
                flux=flux.url,
                gateway=gateway.gateway_url,
                account=ACCOUNT,
                elevenlabs=elevenlabs.url,
                elevenlabs_http=elevenlabs.base_url,
            )
        )
        secrets = {
            "DEEPGRAM_API_KEY": "dg-key",
            "ANTHROPIC_API_KEY": KEYS["anthropic"],
            "OPENAI_API_KEY": KEYS["openai"],
            "CF_AIG_TOKEN": TOKEN,
            "ELEVENLABS_API_KEY": ELEVENLABS_KEY,
            "XDG_CACHE_HOME": str(tmp_path),
        }
        script = Calls.parse("\n".join(["wait", *(f'say "{text}"\nwait' for text in SAID)]))
        script = script.render(voice)
        async with hosted(config=config, environ=secrets, on_event=told) as host:
            async with await Phone.dial(host.url, auth_token=host.auth_token) as phone:
                call = phone.call_sid
                turns = await run(phone, script)
            await told.until(call, "call.ended")

    [began] = told.of(call, "call.began")
    assert (began["stt"], began["turn"]) == ("flux", "flux")
    [handover] = told.of(call, "handover")
    assert (handover["stt"], handover["turn"]) == ("deepgram", "smart")
    committed = told.of(call, "turn.committed")
    words = " ".join(turn["text"] for turn in committed).split()
    # The word at the seam may have been heard by both.
    assert [word for word, _ in groupby(words)] == " ".join(SAID).split()
    assert "flux" not in {turn["by"] for turn in committed}
    assert all(one.answer is not None for one in turns)
    said = [event["text"] for event in told.of(call, "agent.said")]
    assert len(said) == len(set(said))
