package io.gantry.checkpoint.haul;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.FileTree;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.Set;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Two trees have one digest when a program could not tell one from the other, and only then. */
class TreeDigestsTest {
  @TempDir Path directory;

  private final TreeDigests digests = new TreeDigests();
  private Path one;
  private Path other;

  @BeforeEach
  void make() throws IOException {
    one = make("one");
    other = make("other");
  }

  private Path make(String name) throws IOException {
    var root = Files.createDirectory(directory.resolve(name));
    Files.createDirectories(root.resolve("usr/bin"));
    Files.writeString(root.resolve("usr/bin/program"), "content");
    Files.createSymbolicLink(root.resolve("bin"), Path.of("usr/bin"));
    Files.createDirectory(root.resolve("proc"));
    return root;
  }

  private boolean same() {
    return digests.of(one, Set.of("proc", "srv/data")).equals(digests.of(other, Set.of("proc", "srv/data")));
  }

  @Test
  void whatAProgramWouldFindCounts() throws IOException {
    assertThat(same()).isTrue();
    var program = other.resolve("usr/bin/program");
    Files.setLastModifiedTime(program, FileTime.fromMillis(0));
    assertThat(same()).as("another time").isTrue();
    Files.writeString(program, "Content");
    assertThat(same()).as("another content").isFalse();
    Files.writeString(program, "content");
    assertThat(same()).isTrue();
    Files.setPosixFilePermissions(program, PosixFilePermissions.fromString("rwxr-xr-x"));
    assertThat(same()).as("another mode").isFalse();
    Files.setPosixFilePermissions(program, Files.getPosixFilePermissions(one.resolve("usr/bin/program")));
    assertThat(same()).isTrue();
    FileTree.setAttribute(program.toString(), "trusted.mark", new byte[] {1});
    assertThat(same()).as("another attribute").isFalse();
    FileTree.removeAttribute(program.toString(), "trusted.mark");
    Files.move(other.resolve("usr/bin"), other.resolve("bin-of-usr"));
    assertThat(same()).as("the same at another level").isFalse();
    Files.move(other.resolve("bin-of-usr"), other.resolve("usr/bin"));
    Files.delete(other.resolve("bin"));
    Files.createSymbolicLink(other.resolve("bin"), Path.of("usr/lib"));
    assertThat(same()).as("another link").isFalse();
  }

  @Test
  void whatIsHiddenByMountsDoesNotCount() throws IOException {
    Files.writeString(other.resolve("proc/hidden"), "");
    assertThat(same()).isTrue();
    Files.delete(other.resolve("proc/hidden"));
    Files.delete(other.resolve("proc"));
    assertThat(same()).as("whether there is a directory to mount on").isTrue();
    Files.createDirectory(other.resolve("srv"));
    assertThat(same()).as("what is above it").isFalse();
    Files.createDirectories(one.resolve("srv/data/any"));
    Files.setPosixFilePermissions(one.resolve("srv"), Files.getPosixFilePermissions(other.resolve("srv")));
    assertThat(same()).isTrue();
  }

  @Test
  void aFileIsReadOnceAndAgainWhenItWasChanged() throws IOException {
    // One that is only just there is not trusted to stay as it is.
    Awaitility.await().atMost(Duration.ofSeconds(10)).until(() -> {
      long before = digests.bytesRead();
      digests.of(one, Set.of());
      return digests.bytesRead() == before;
    });
    var first = digests.of(one, Set.of());
    var program = one.resolve("usr/bin/program");
    var time = Files.getLastModifiedTime(program);
    Files.writeString(program, "CONTENT");
    Files.setLastModifiedTime(program, time);
    assertThat(digests.of(one, Set.of())).isNotEqualTo(first);
  }

  @Test
  void whatCannotBeReadInTimeIsSaidSo() {
    assertThatThrownBy(() -> new TreeDigests(Duration.ofSeconds(-1)).of(one, Set.of()))
        .isInstanceOf(CheckpointException.class)
        .hasMessageContaining("reading " + one + " for the first time takes longer");
    assertThatThrownBy(() -> digests.of(directory.resolve("none"), Set.of()))
        .hasMessageContaining("none to compare it with that of another host");
  }
}
