"""Notices that other programs take the cores from a training, which then crawls."""

import logging
import time
from dataclasses import dataclass, field

import torch

from maskcls.cores import seconds_in_queue
from maskcls.training.recorder import Recorder
from maskcls.training.state import TrainingState

log = logging.getLogger(__name__)

# seconds between two looks
SECONDS = 5.0
# share of that time which a training spends waiting for a core before a line says so; on an idle machine it is 2 %
LIMIT = 0.2


@dataclass
class CrowdingWatch(Recorder):
    """Says once that a training with several threads waits for cores.

    Each operation of a step waits for its slowest thread. If that has no core, all others wait, too: on two cores,
    two trainings of small networks with two threads each were 10 to 60 times slower than one, and with one thread each
    hardly slower.
    """

    has_told: bool = False
    _since: tuple[float, float] = field(default_factory=lambda: (time.monotonic(), seconds_in_queue()))

    def step_done(self, state: TrainingState) -> None:
        """Look at the wait of the last seconds."""
        started, waited = self._since
        passed = time.monotonic() - started
        if self.has_told or passed < SECONDS:
            return
        now = seconds_in_queue()
        share, self._since = (now - waited) / passed, (started + passed, now)
        threads = torch.get_num_threads()
        if threads > 1 and share > LIMIT:
            self.has_told = True
            log.warning(
                "other programs take the cores: the training waits for one %.0f %% of the time; with threads=%d it may "
                "be many times faster",
                100 * share,
                threads // 2,
            )
