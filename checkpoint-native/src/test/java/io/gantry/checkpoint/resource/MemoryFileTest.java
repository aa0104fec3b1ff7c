package io.gantry.checkpoint.resource;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.linux.Fd;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MemoryFileTest {
  @Test
  void nameSizeSealsAndSharingStay(@TempDir Path directory) {
    try (var move = Move.begin("memfd", directory)) {
      move.all();
    }
  }

  @Test
  void theObjectThatWasMadeForThePagesIsUsed(@TempDir Path directory) throws Exception {
    try (var move = Move.begin("memfd", directory)) {
      var objects = new HashMap<FileIdentity, Integer>();
      try {
        for (var object : SharedObjects.list(move.processes())) {
          objects.put(object.identity(), SharedObjects.create(object.entry()));
        }
        assertThat(objects).hasSize(2);
        var captured = move.capture();
        var first = captured.state().getMemfd(0);
        int ours = objects.get(new FileIdentity(first.getSourceDev(), first.getSourceIno()));
        Fd.write(ours, new byte[] {1, 2, 3});
        move.startStubs();
        try (var received = new FileContentReceiver(directory.resolve("console.log"), move::stubPid)) {
          move.recreate(captured.state(), received, Map.copyOf(objects));
        }
        assertThat(Files.readAllBytes(Path.of("/proc/" + move.stubPid() + "/fd/10"))).startsWith(1, 2, 3).hasSize(100000);
        move.verify();
      } finally {
        objects.values().forEach(Fd::close);
      }
    }
  }
}
