package io.gantry.checkpoint.haul;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.CheckpointException;
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

  private static final Volumes.Digests NONE = facts -> {
    throw new AssertionError(facts.path() + " is not to be read");
  };

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
    assertThat(Volumes.toHaul(List.of(facts), StoragePolicy.DEFAULT, NONE)).isEmpty();
    assertThat(Volumes.preflight("web", List.of(facts), StoragePolicy.DEFAULT, NONE)).isEmpty();
  }

  @Test
  void anotherDirectoryTravelsUnlessItIsDeclaredAsShared() throws IOException {
    var data = Files.createDirectory(directory.resolve("data"));
    var other = other(Volumes.facts(data), "another kernel", 0xef53, 0, 1000, 1);
    assertThat(Volumes.toHaul(List.of(other), StoragePolicy.DEFAULT, NONE)).containsExactly(other);
    var declared = new StoragePolicy(List.of(directory), StoragePolicy.KEEP_DEFAULT, Optional.empty());
    assertThat(Volumes.toHaul(List.of(other), declared, NONE)).isEmpty();
    assertThat(Volumes.preflight("web", List.of(other), StoragePolicy.DEFAULT, NONE)).as("it is empty").isEmpty();
    Files.createFile(data.resolve("mine"));
    assertThat(Volumes.preflight("web", List.of(other), StoragePolicy.DEFAULT, NONE)).singleElement().asString().contains("the volume " + data, "empty or remove it");
    Files.delete(data.resolve("mine"));
    Files.delete(data);
    assertThat(Volumes.preflight("web", List.of(other), declared, NONE)).singleElement().asString().contains("declared as shared on this host", "is not there");
    var elsewhere = new VolumeFacts("/none/at/all", 1, 1, "another kernel", 1, 1, 0xef53, 0, 0, 0);
    assertThat(Volumes.preflight("web", List.of(elsewhere), StoragePolicy.DEFAULT, NONE)).singleElement().asString().contains("/none/at is no directory of this host");
    var large = other(other, "another kernel", 0xef53, 0, 1L << 60, 1);
    assertThat(Volumes.preflight("web", List.of(large), StoragePolicy.DEFAULT, NONE)).singleElement().asString().contains("takes", "MiB free on this host");
    var many = other(other, "another kernel", 0xef53, 0, 1, 1L << 60);
    assertThat(Volumes.preflight("web", List.of(many), StoragePolicy.DEFAULT, NONE)).singleElement().asString().contains("files, and its file system has room for");
  }

  @Test
  void whatNeverChangesIsComparedAndFetchedOnlyWhenItIsMissing() throws IOException {
    var app = Files.createDirectory(directory.resolve("app"));
    var bundle = other(Volumes.facts(app), "another kernel", 0xef53, 0, 1000, 1).ofBundle("", "cafe");
    Volumes.Digests same = facts -> "cafe";
    Volumes.Digests different = facts -> "beef";
    Files.createFile(app.resolve("config.json"));
    assertThat(Volumes.toHaul(List.of(bundle), StoragePolicy.DEFAULT, same)).isEmpty();
    assertThat(Volumes.preflight("web", List.of(bundle), StoragePolicy.DEFAULT, same)).isEmpty();
    assertThat(Volumes.preflight("web", List.of(bundle), StoragePolicy.DEFAULT, different)).singleElement().asString()
        .contains("the bundle " + app + " of the container is not the one that this host has there");
    assertThat(Volumes.preflight("web", List.of(bundle.ofBundle("", VolumeFacts.UNREAD)), StoragePolicy.DEFAULT, NONE)).singleElement().asString()
        .contains("before the source has read its own; try again");
    Volumes.Digests unreadable = facts -> {
      throw new CheckpointException("no time");
    };
    assertThat(Volumes.preflight("web", List.of(bundle), StoragePolicy.DEFAULT, unreadable)).singleElement().asString().contains("no time");
    Files.delete(app.resolve("config.json"));
    Files.delete(app);
    assertThat(Volumes.toHaul(List.of(bundle), StoragePolicy.DEFAULT, NONE)).containsExactly(bundle);
    assertThat(Volumes.preflight("web", List.of(bundle), StoragePolicy.DEFAULT, NONE)).isEmpty();
  }

  @Test
  void whatCannotTravelIsAnObstacleOnlyWhereItIsNotShared() throws IOException {
    var app = Files.createDirectory(directory.resolve("app"));
    var here = Volumes.facts(app).ofBundle("a disk is mounted in it", "");
    assertThat(Volumes.preflight("web", List.of(here), StoragePolicy.DEFAULT, NONE)).isEmpty();
    var elsewhere = other(here, "another kernel", 0xef53, 0, 1000, 1).ofBundle("a disk is mounted in it", "");
    assertThat(Volumes.preflight("web", List.of(elsewhere), StoragePolicy.DEFAULT, NONE)).singleElement().asString()
        .contains("this host does not share the bundle " + app, "a disk is mounted in it");
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
