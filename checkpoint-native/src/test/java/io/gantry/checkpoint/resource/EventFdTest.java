package io.gantry.checkpoint.resource;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class EventFdTest {
  @Test
  void counterAndSemaphoreStay(@TempDir Path directory) {
    try (var move = Move.begin("eventfd", directory)) {
      move.all();
    }
  }
}
