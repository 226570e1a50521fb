"""Whatever comes over the media socket, the reader of it goes on."""

from __future__ import annotations

import asyncio
import json

from hypothesis import given, settings
from hypothesis import strategies as st
from pipecat.clocks.system_clock import SystemClock
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.utils.asyncio.task_manager import TaskManager
from tipring.journal import Journal
from tipring.phone.stream import Start, TwilioStream


@given(
    messages=st.lists(
        st.one_of(
            st.text(max_size=200),
            st.binary(max_size=200),
            st.recursive(
                st.none() | st.booleans() | st.floats() | st.text(max_size=10),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(
                        st.sampled_from(
                            ["event", "media", "payload", "start", "mark", "dtmf", "stop"]
                        ),
                        inner,
                        max_size=4,
                    )
                ),
                max_leaves=12,
            ).map(json.dumps),
            st.sampled_from(["media", "mark", "dtmf", "start", "connected"]).map(
                lambda name: json.dumps({"event": name, name: {"payload": "AAAA", "name": "a"}})
            ),
        ),
        max_size=30,
    )
)
@settings(max_examples=200, deadline=None)
def test_no_message_at_all_makes_the_reader_raise(messages: list[str | bytes]) -> None:
    async def read() -> None:
        stream = TwilioStream(
            Start(stream="MZ1", call="CA1"),
            journal=Journal(),
            on_mark=lambda name: None,
            on_stop=lambda: None,
            on_caller=lambda sound: None,
        )
        await stream.setup(
            FrameProcessorSetup(
                clock=SystemClock(),
                task_manager=TaskManager(),
                observer=None,
                pipeline_worker=PipelineWorker(Pipeline([]), enable_rtvi=False),
            )
        )
        for message in messages:
            await stream.deserialize(message)

    asyncio.run(read())
