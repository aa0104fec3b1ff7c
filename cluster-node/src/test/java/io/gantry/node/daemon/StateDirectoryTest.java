package io.gantry.node.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class StateDirectoryTest {
  @TempDir Path directory;

  @Test
  void onlyTheOwnerMayEnter() throws IOException {
    try (StateDirectory state = StateDirectory.take(directory.resolve("a/b"))) {
      assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(state.path()))).isEqualTo("rwx------");
    }
  }

  @Test
  void aSecondNodeIsToldTheFirstOnesProcess() {
    try (StateDirectory first = StateDirectory.take(directory)) {
      assertThat(first.path()).isEqualTo(directory);
      assertThatThrownBy(() -> StateDirectory.take(directory))
          .isInstanceOfSatisfying(CommandException.class, refused -> assertThat(refused.code()).isEqualTo(ExitCode.CONFLICT))
          .hasMessageContaining("process " + ProcessHandle.current().pid());
    }
    StateDirectory.take(directory).close();
  }

  @Test
  void aPlaceThatCannotBeWrittenIsExplained() throws IOException {
    Path file = Files.createFile(directory.resolve("file"));
    assertThatThrownBy(() -> StateDirectory.take(file.resolve("below")))
        .isInstanceOf(CommandException.class)
        .hasMessageContainingAll("cannot be created or written", "--state-dir");
    assertThatThrownBy(() -> StateDirectory.take(Path.of("/proc/gantry"))).isInstanceOf(CommandException.class);
  }
}
