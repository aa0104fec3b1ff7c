package io.gantry.checkpoint.resource;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class UnixSocketTest {
  @Test
  void pairsAndTheirRestsStay(@TempDir Path directory) {
    try (var move = Move.begin("unix", directory)) {
      move.all();
    }
  }
}
