"""What Deepgram's two ways of hearing share: a line that is held through failures, and refusals.

Nova-3 (``tipring_stt_deepgram``) and Flux (``tipring_turn_flux``) speak different protocols over
the same kind of connection; what keeps a caller's words through its failures stands here once.
"""
