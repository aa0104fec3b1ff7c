package io.gantry.checkpoint.oci;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.haul.StoragePolicy;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class OciBundleTest {
  @TempDir private Path directory;

  private OciBundle bundle(String mounts, String namespaces) throws IOException {
    Files.writeString(
        directory.resolve("config.json"),
        """
        {"root": {"path": "rootfs"}, "mounts": [%s], "linux": {"namespaces": [%s], "maskedPaths": ["/proc/kcore"]}}
        """
            .formatted(mounts, namespaces));
    return OciBundle.read(directory);
  }

  @Test
  void filesAreLookedForInTheRootFileSystemAndInBindMountsOnly() throws IOException {
    var bundle =
        bundle(
            """
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/tmp/in", "source": "shared", "options": ["rbind"]},
            {"destination": "/srv", "type": "bind", "source": "/data/srv"}
            """,
            "");
    assertThat(bundle.onHost("/bin/sh")).contains(directory.resolve("rootfs/bin/sh"));
    assertThat(bundle.onHost("/srv/a/b")).contains(Path.of("/data/srv/a/b"));
    assertThat(bundle.onHost("/srvx")).contains(directory.resolve("rootfs/srvx"));
    assertThat(bundle.onHost("/tmp/x")).isEmpty();
    assertThat(bundle.onHost("/tmp/in/x")).contains(directory.resolve("shared/x"));
  }

  @Test
  void onlyABundleToWhichNothingCanBeWrittenIsConstant() throws IOException {
    var data = "{\"destination\": \"/data\", \"type\": \"bind\", \"source\": \"%s\"%s}";
    assertThat(bundle("", "").isConstant()).as("a root that can be written to").isFalse();
    assertThat(readOnly("").isConstant()).isTrue();
    assertThat(readOnly(data.formatted("rootfs/data", "")).isConstant()).isFalse();
    assertThat(readOnly(data.formatted("rootfs/data", ", \"options\": [\"ro\"]")).isConstant()).isTrue();
    assertThat(readOnly(data.formatted("/srv/data", "")).isConstant()).as("written to outside").isTrue();
    assertThat(readOnly(data.formatted("/srv/data", "")).hidden()).containsExactly("data");
    assertThat(readOnly("").trees()).containsExactly(directory);
  }

  private OciBundle readOnly(String mounts) throws IOException {
    Files.writeString(
        directory.resolve("config.json"),
        "{\"root\": {\"path\": \"rootfs\", \"readonly\": true}, \"mounts\": [%s]}".formatted(mounts));
    return OciBundle.read(directory);
  }

  @Test
  void volumesOfABundleAreWhereItsBindMountsHaveTheirSources() throws IOException {
    bundle("{\"destination\": \"/srv\", \"type\": \"bind\", \"source\": \"/data/srv\"}", "");
    assertThat(OciLife.obstacle(directory, List.of(Path.of("/data")))).isEmpty();
    assertThat(OciLife.obstacle(directory, List.of(Path.of("/data/srv")))).isEmpty();
    assertThat(OciLife.obstacle(directory, List.of(Path.of("/data/srv/in"))).orElse(""))
        .contains("no bind mount in", "in the volume /data/srv/in");
    assertThat(OciLife.obstacle(directory, List.of(directory.resolve("rootfs"))).orElse("")).contains("lies in the bundle");
  }

  @Test
  void theRuntimeIsGivenTheSameBundleWithThePathsOfItsHost() throws IOException {
    var bundle =
        bundle(
            """
            {"destination": "/srv", "type": "bind", "source": "/data/srv", "options": ["ro"]},
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/in", "options": ["bind"], "source": "beside"}
            """,
            "{\"type\": \"pid\"}");
    var scratch = directory.resolve("scratch");
    assertThat(bundle.forRuntime(scratch, source -> source)).isEqualTo(directory);
    assertThat(scratch).doesNotExist();
    var policy = new StoragePolicy(List.of(), Duration.ZERO, Optional.empty(), Map.of(Path.of("/data"), Path.of("/mnt")));
    var paths = new OciPaths(policy, List.of());
    assertThat(bundle.forRuntime(scratch, paths::here)).isEqualTo(scratch);
    var there = OciBundle.read(scratch);
    assertThat(there.root()).isEqualTo(bundle.root());
    assertThat(there.mounts().getFirst()).isEqualTo(new OciBundle.Mount("/srv", "bind", "/mnt/srv", List.of("ro")));
    assertThat(there.mounts().subList(1, 3)).isEqualTo(bundle.mounts().subList(1, 3));
    assertThat(there.namespaces()).isEqualTo(bundle.namespaces());
    assertThat(there.covered()).isEqualTo(bundle.covered());
    var inVolume = Path.of("/data/srv/x");
    assertThat(new OciPaths(policy, List.of(Path.of("/data/srv"))).here(inVolume)).isEqualTo(inVolume);
  }

  @Test
  void anotherConfigurationHasAnotherDigest() throws IOException {
    var first = bundle("", "");
    assertThat(bundle("", "").digest()).isEqualTo(first.digest());
    assertThat(bundle("", " ").digest()).isNotEqualTo(first.digest());
  }

  @Test
  void namespacesThatCannotMoveAreNamed() throws IOException {
    var joined = "{\"type\": \"user\", \"path\": \"/proc/1/ns/user\"}, {\"type\": \"ipc\", \"path\": \"/proc/1/ns/ipc\"}";
    var bundle = bundle("", "{\"type\": \"mount\"}, {\"type\": \"network\"}, " + joined);
    assertThat(OciObstacles.ofNamespaces(bundle)).extracting(Finding::kind)
        .containsExactly("namespace", "user namespace", "namespace");
    var own = bundle("", "{\"type\": \"mount\"}, {\"type\": \"pid\"}, {\"type\": \"cgroup\"}, {\"type\": \"user\"}");
    assertThat(OciObstacles.ofNamespaces(own)).isEmpty();
  }

  /** Whatever the bundles say: a runtime could make something else of them. */
  @Test
  void aContainerWhoseIdsWouldBeOthersIsRefused() {
    var origin = new OciOrigin("runc", "mapped", directory.toString(), "");
    int self = (int) ProcessHandle.current().pid();
    new OciOffer(origin, List.of(), "", "", "", List.of(), "", "", List.of()).requireSameIds(self);
    var map = "0 100000 65536\n";
    var other = new OciOffer(origin, List.of(), "", map, map, List.of(), "", "", List.of());
    assertThat(other.rootGroup()).isEqualTo(100_000);
    assertThatThrownBy(() -> other.requireSameIds(self))
        .isInstanceOf(CheckpointException.class)
        .hasMessageContaining("maps other ids here than the container mapped has: there users [0 100000 65536]")
        .hasMessageContaining("here users as the host has them");
  }

  @Test
  void aBundleThatIsNoneIsSaidSo() {
    assertThatThrownBy(() -> OciBundle.read(directory)).isInstanceOf(CheckpointException.class).hasMessageContaining("config.json cannot be read");
  }

  @Test
  void mountsAreComparedByWhatMeansTheSameOnEveryHost() {
    var here = MountTable.parse(
        """
        232 199 254:0 /a/rootfs / ro,relatime - ext4 /dev/vda rw,discard
        235 234 0:57 / /dev/pts rw,nosuid - devpts devpts rw,gid=5
        """);
    var there = MountTable.parse(
        """
        35 34 0:99 / /dev/pts rw,nosuid - devpts devpts rw,gid=5
        32 19 8:1 /b/rootfs / ro,relatime - xfs /dev/sda rw
        """);
    assertThat(here.comparable(Set.of())).isEqualTo(there.comparable(Set.of()));
    var inMemory =
        MountTable.parse(
            """
            32 19 0:99 /b/rootfs / ro,relatime - tmpfs none rw,size=1m
            35 34 0:99 / /dev/pts rw,nosuid - devpts devpts rw,gid=5
            """);
    assertThat(inMemory.comparable(Set.of())).as("the host's files may lie in memory").isEqualTo(there.comparable(Set.of()));
    var other = MountTable.parse("35 34 0:99 / /dev/pts rw,nosuid - devpts devpts rw,gid=6\n");
    assertThat(other.comparable(Set.of())).doesNotContainAnyElementsOf(here.comparable(Set.of()));
  }

  @Test
  void anotherContainerThatIsMadeFromTheSameFilesIsFound() throws IOException {
    var one = Files.createDirectory(directory.resolve("one"));
    var other = Files.createDirectory(directory.resolve("other"));
    Files.createFile(directory.resolve("file"));
    new OciContainer(new OciOrigin("runc", "one", "/srv/app", ""), Optional.empty(), false).remember(one);
    new OciContainer(new OciOrigin("runc", "other", "/srv/app", ""), Optional.empty(), false).remember(other);
    assertThat(OciContainer.sharing(one, List.of(Path.of("/srv/app")))).contains("other");
    assertThat(OciContainer.sharing(one, List.of(Path.of("/srv/app/rootfs")))).contains("other");
    assertThat(OciContainer.sharing(one, List.of(Path.of("/srv")))).contains("other");
    assertThat(OciContainer.sharing(one, List.of(Path.of("/srv/application")))).isEmpty();
    OciContainer.forget(other);
    assertThat(OciContainer.sharing(one, List.of(Path.of("/srv/app")))).isEmpty();
  }

  @Test
  void whatIsRememberedOfAContainerIsFoundAgain() {
    assertThat(OciContainer.of(directory)).isEmpty();
    var container = new OciContainer(new OciOrigin("runc", "a=b", "/srv/a b\\c", "cafe"), Optional.of(Path.of("/run/x")), true);
    container.remember(directory);
    assertThat(OciContainer.of(directory)).contains(container);
    OciContainer.forget(directory);
    assertThat(OciContainer.of(directory)).isEmpty();
    assertThat(List.of(directory.toFile().list())).isEmpty();
  }
}
