package io.gantry.checkpoint.shm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.gantry.checkpoint.image.tmpfs_node;
import io.gantry.checkpoint.linux.FileStatus;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ShmTreeTest {
  @TempDir Path directory;
  private ContainerShm place;

  @BeforeEach
  void open() {
    place = new ContainerShm(directory.toString(), FileStatus.of(directory.toString()).orElseThrow().device());
  }

  @Test
  void namesEverythingOnceAndDirectoriesFirst() throws Exception {
    Files.createDirectories(directory.resolve("outer/inner"));
    Files.writeString(directory.resolve("outer/inner/file"), "content");
    Files.createLink(directory.resolve("outer/other"), directory.resolve("outer/inner/file"));
    Files.createSymbolicLink(directory.resolve("link"), Path.of("nowhere"));

    var tree = ShmTree.look(place);

    var nodes = tree.toEntry().getNodeList();
    assertThat(nodes).hasSize(5);
    assertThat(nodes.getFirst().getName(0)).isEmpty();
    assertThat(nodes.stream().filter(node -> node.getNameCount() == 2).flatMap(node -> node.getNameList().stream()))
        .containsExactlyInAnyOrder("outer/inner/file", "outer/other");
    assertThat(nodes.stream().filter(tmpfs_node::hasTarget).map(tmpfs_node::getTarget)).containsExactly("nowhere");
    var names = nodes.stream().map(node -> node.getName(0)).toList();
    assertThat(names.indexOf("outer")).isLessThan(names.indexOf("outer/inner"));
    assertThat(tree.files()).hasSize(1);
    assertThat(tree.obstacles()).isEmpty();
    assertThat(tree.isAsBorn()).isFalse();
  }

  @Test
  void refusesNamesThatAreNoText() throws Exception {
    var commands = "touch \"$(printf 'odd\\377')\"; ln -s \"$(printf 'to\\377')\" link";
    assertThat(new ProcessBuilder("sh", "-c", commands).directory(directory.toFile()).start().waitFor()).isZero();

    var tree = ShmTree.look(place);

    assertThat(tree.obstacles())
        .containsExactlyInAnyOrder(
            "/dev/shm/odd\ufffd has a name that is no UTF-8 and cannot be carried; rename it",
            "/dev/shm/link is a symbolic link to a name that is no UTF-8 and cannot be carried; remove it");
    assertThatThrownBy(tree::toEntry).hasMessageContaining("no UTF-8");
  }
}
