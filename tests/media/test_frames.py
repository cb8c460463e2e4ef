"""Clips: what they give, and what they say of themselves."""

import numpy as np

from maskcls.media.frames import Clip, Counts, Frame, Unusable


def test_a_clip_gives_its_frames_once() -> None:
    frame = Frame("a", 0, None, np.zeros((1, 1, 3), dtype=np.uint8))
    clip = Clip("a", iter([frame, Unusable("a", "cut off")]), is_video=True)
    assert list(clip) == [frame, Unusable("a", "cut off")]
    assert list(clip) == []
    clip.close()


def test_clips_do_not_share_their_counts() -> None:
    first, second = Clip("a", [], is_video=True), Clip("b", [], is_video=True)
    first.counts.skipped += 1
    assert second.counts == Counts(skipped=0, dropped=0, undecodable=0)
