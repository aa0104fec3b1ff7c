package io.gantry.checkpoint.resource;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DirectoryTest {
  @Test
  void directoriesStay(@TempDir Path directory) {
    try (var move = Move.begin("directory", directory)) {
      move.all();
    }
  }
}
