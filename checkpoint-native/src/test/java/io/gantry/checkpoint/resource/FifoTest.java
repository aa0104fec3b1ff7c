package io.gantry.checkpoint.resource;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FifoTest {
  @Test
  void contentAndEndsStay(@TempDir Path directory) {
    try (var move = Move.begin("fifo", directory)) {
      move.all();
    }
  }
}
