package io.gantry.checkpoint.state;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.Finding;
import java.util.List;
import org.junit.jupiter.api.Test;

class MountObstaclesTest {
  private static final String HOST =
      """
      27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw
      22 27 0:21 / /proc rw - proc proc rw
      30 27 0:40 / /later rw - tmpfs tmpfs rw
      """;

  @Test
  void mountsOfBirthAreNoObstacle() {
    var container =
        """
        127 100 8:1 / / rw,relatime - ext4 /dev/root rw
        122 127 0:21 / /proc rw - proc proc rw
        150 122 0:50 / /proc rw - proc proc rw
        151 127 8:1 /var/lib/gantry/c /run/gantry rw - ext4 /dev/root rw
        152 127 0:51 / /dev/pts rw - devpts devpts rw
        153 127 0:52 / /dev/shm rw - tmpfs tmpfs rw
        """;
    assertThat(MountObstacles.compare(5, MountObstacles.parse(container), MountObstacles.parse(HOST))).isEmpty();
  }

  @Test
  void otherMountsAreNamed() {
    var container =
        """
        127 100 8:1 / / rw,relatime - ext4 /dev/root rw
        160 127 0:60 / /mnt rw - tmpfs none rw
        161 127 0:61 / /later rw - tmpfs none rw
        162 127 0:62 / /dev/shm rw - tmpfs tmpfs rw
        163 127 0:63 / /dev/shm rw - tmpfs none rw
        """;
    assertThat(MountObstacles.compare(5, MountObstacles.parse(container), MountObstacles.parse(HOST)))
        .extracting(Finding::sentence)
        .satisfiesExactlyInAnyOrder(
            sentence -> assertThat(sentence).contains("/dev/shm").contains("in the container only"),
            sentence -> assertThat(sentence).contains("/mnt").contains("in the container only"),
            sentence -> assertThat(sentence).contains("/later").contains("is not what this host has there"));
  }

  @Test
  void whatTheHostHasElsewhereIsNotTheContainersOwn() {
    for (var bound : List.of("0:40 /", "0:62 /below")) {
      var container = "162 127 " + bound + " /dev/shm rw - tmpfs tmpfs rw";
      assertThat(MountObstacles.compare(5, MountObstacles.parse(container), MountObstacles.parse(HOST)))
          .extracting(Finding::sentence)
          .containsExactly("[tmpfs " + bound.replace(" ", "") + "] is mounted at /dev/shm in the container only; unmount it");
    }
  }
}
