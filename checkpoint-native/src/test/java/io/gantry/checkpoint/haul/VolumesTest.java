package io.gantry.checkpoint.haul;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.VolumeFacts;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Which directories may be volumes, and which of them have to travel. */
class VolumesTest {
  private static final long NFS = 0x6969;

  @TempDir Path directory;

  private String obstacle(Path... volumes) {
    return Volumes.obstacle(List.of(volumes)).orElse("");
  }

  @Test
  void whatCannotBeAVolumeIsNamed() throws IOException {
    var inside = Files.createDirectory(directory.resolve("inside"));
    var link = Files.createSymbolicLink(directory.resolve("link"), inside);
    assertThat(obstacle(directory)).isEmpty();
    assertThat(obstacle(Path.of("data"))).contains("absolute path of a directory, and data is none");
    assertThat(obstacle(Path.of("/"))).contains("and / is none");
    assertThat(obstacle(Path.of("/dev/shm"))).contains("/dev/shm is the kernel's");
    assertThat(obstacle(directory.resolve("none"))).contains("none is no directory of this host");
    assertThat(obstacle(link)).contains("through a symbolic link; name it " + inside);
    assertThat(obstacle(directory, inside)).contains("the volume " + inside + " lies in the volume " + directory);
    assertThat(obstacle(Path.of("/sys/.."), directory)).contains("and /sys/.. is none");
  }

  @Test
  void theSameDirectoryOfThisKernelIsShared() throws IOException {
    var data = Files.createDirectory(directory.resolve("data"));
    var facts = Volumes.facts(data);
    assertThat(Volumes.toHaul(List.of(facts), StoragePolicy.DEFAULT)).isEmpty();
    assertThat(Volumes.preflight("web", List.of(facts), StoragePolicy.DEFAULT)).isEmpty();
  }

  @Test
  void anotherDirectoryTravelsUnlessItIsDeclaredAsShared() throws IOException {
    var data = Files.createDirectory(directory.resolve("data"));
    var other = other(Volumes.facts(data), "another kernel", 0xef53, 0, 1000, 1);
    assertThat(Volumes.toHaul(List.of(other), StoragePolicy.DEFAULT)).containsExactly(data);
    var declared = new StoragePolicy(List.of(directory), StoragePolicy.KEEP_DEFAULT, Optional.empty());
    assertThat(Volumes.toHaul(List.of(other), declared)).isEmpty();
    assertThat(Volumes.preflight("web", List.of(other), StoragePolicy.DEFAULT)).as("it is empty").isEmpty();
    Files.createFile(data.resolve("mine"));
    assertThat(Volumes.preflight("web", List.of(other), StoragePolicy.DEFAULT)).singleElement().asString().contains("the volume " + data, "empty or remove it");
    Files.delete(data.resolve("mine"));
    Files.delete(data);
    assertThat(Volumes.preflight("web", List.of(other), declared)).singleElement().asString().contains("declared as shared on this host", "is not there");
    var elsewhere = new VolumeFacts("/none/at/all", 1, 1, "another kernel", 1, 1, 0xef53, 0, 0, 0);
    assertThat(Volumes.preflight("web", List.of(elsewhere), StoragePolicy.DEFAULT)).singleElement().asString().contains("/none/at is no directory of this host");
    var large = other(other, "another kernel", 0xef53, 0, 1L << 60, 1);
    assertThat(Volumes.preflight("web", List.of(large), StoragePolicy.DEFAULT)).singleElement().asString().contains("takes", "MiB free on this host");
    var many = other(other, "another kernel", 0xef53, 0, 1, 1L << 60);
    assertThat(Volumes.preflight("web", List.of(many), StoragePolicy.DEFAULT)).singleElement().asString().contains("files, and its file system has room for");
  }

  private static VolumeFacts other(VolumeFacts facts, String boot, long type, long id, long bytes, long inodes) {
    return new VolumeFacts(facts.path(), bytes, inodes, boot, facts.device(), facts.inode(), type, id, facts.changedS(), facts.changedNs());
  }

  @Test
  void whatATreeTakesIsCountedOnceForEachFile() throws IOException {
    var data = Files.createDirectory(directory.resolve("data"));
    Files.write(data.resolve("file"), new byte[100_000]);
    Files.createLink(data.resolve("again"), data.resolve("file"));
    Files.createDirectory(data.resolve("empty"));
    var facts = Volumes.facts(data);
    assertThat(facts.inodes()).isEqualTo(2);
    assertThat(facts.bytes()).isBetween(100_000L, 120_000L);
    assertThat(facts.fileSystemType()).isNotEqualTo(NFS);
  }
}
