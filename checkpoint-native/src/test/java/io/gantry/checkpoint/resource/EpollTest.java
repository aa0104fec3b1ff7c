package io.gantry.checkpoint.resource;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class EpollTest {
  @Test
  void targetsEventsAndDataStay(@TempDir Path directory) {
    try (var move = Move.begin("epoll", directory)) {
      move.all();
    }
  }
}
