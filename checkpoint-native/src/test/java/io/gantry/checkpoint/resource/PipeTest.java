package io.gantry.checkpoint.resource;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PipeTest {
  @Test
  void contentPacketsCapacityAndClosedEndsStay(@TempDir Path directory) {
    try (var move = Move.begin("pipe", directory)) {
      move.all();
    }
  }
}
