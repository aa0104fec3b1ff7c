package io.gantry.checkpoint.resource;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RegularFileTest {
  @Test
  void positionFlagsSharingAndOwnerStay(@TempDir Path directory) {
    try (var move = Move.begin("regular", directory)) {
      move.all();
    }
  }
}
