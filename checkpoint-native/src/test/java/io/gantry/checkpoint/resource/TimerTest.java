package io.gantry.checkpoint.resource;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TimerTest {
  @Test
  void remainingTimePeriodAndTicksStay(@TempDir Path directory) {
    try (var move = Move.begin("timerfd", directory)) {
      move.all();
    }
  }
}
