"""What an observer has to keep."""

from __future__ import annotations

import asyncio

from pipecat.frames.frames import (
    LLMTextFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from tipring.testing.contract import ContractBroken, PluginContract, _installed, rule
from tipring.testing.contract_line import TimedSteps


class ObserverContract(PluginContract):
    """What holds for a plugin that watches calls."""

    @rule
    def test_gives_each_call_observers_of_its_own(self) -> None:
        """What one call is told must not show up in another."""
        first, second = self._observers(), self._observers()
        if not first:
            raise ContractBroken(
                "observe_call gave no observer, or raised; the log says why",
                "yield an object derived from pipecat.observers.base_observer.BaseObserver",
            )
        if {id(one) for one in first} & {id(one) for one in second}:
            raise ContractBroken(
                "two calls got the same observer", "make a new one in each observe_call"
            )

    @rule
    def test_takes_any_frame_without_raising_or_blocking(self) -> None:
        """It sees every frame of the call; 20 ms is a frame of the phone's audio."""
        longest = min(asyncio.run(self._watch()) for _ in range(3))
        if longest > 0.02:
            raise ContractBroken(
                f"it held the event loop for {longest * 1000:.0f} ms over a frame",
                "write and compute in asyncio.to_thread()",
            )

    async def _watch(self) -> float:
        steps = TimedSteps()
        observers = self._observers()
        steps.watch()
        source, destination = FrameProcessor(), FrameProcessor()
        for observer in observers:
            for frame in (
                VADUserStartedSpeakingFrame(start_secs=0.1),
                TranscriptionFrame("hello", "caller", ""),
                VADUserStoppedSpeakingFrame(stop_secs=0.2),
                LLMTextFrame("Good morning."),
            ):
                pushed = FramePushed(
                    source=source,
                    destination=destination,
                    frame=frame,
                    direction=FrameDirection.DOWNSTREAM,
                    timestamp=0,
                )
                await asyncio.create_task(observer.on_push_frame(pushed))
            await asyncio.create_task(observer.cleanup())
        return steps.longest

    def _observers(self) -> list[BaseObserver]:
        from tipring.providers import Call

        name = self.plugin.partition(".")[2]
        return _installed().observers([name], Call(id="contract", language=self.language))
