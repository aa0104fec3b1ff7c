package io.gantry.node.cluster;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.function.Consumer;

/**
 * An OCI bundle whose root file system holds busybox and one statically linked {@link KindProgram}, whose directory is {@code /data}. One thread.
 *
 * @param directory the bundle; has {@code config.json}
 * @param kind its program
 */
record TestBundle(Path directory, KindProgram kind) {
  private static final ObjectMapper JSON = new ObjectMapper();
  /** What runc's own {@code runc spec} gives a process. */
  private static final List<String> CAPABILITIES = List.of("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE");

  /** @param change what is to be other than usual: namespaces of its own except for the network's, the rights that {@code runc spec} gives */
  static TestBundle make(Path directory, KindProgram kind, Consumer<ObjectNode> change) {
    try {
      Path root = directory.resolve("rootfs");
      for (String place : List.of("bin", "proc", "dev", "sys", "tmp", "data")) {
        Files.createDirectories(root.resolve(place));
      }
      Files.copy(Path.of("/bin/busybox"), root.resolve("bin/busybox"), StandardCopyOption.COPY_ATTRIBUTES);
      kind.compileStatically(root.resolve("bin/program"));
      ObjectNode config = config();
      change.accept(config);
      Files.write(directory.resolve("config.json"), JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(config));
      return new TestBundle(directory, kind);
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
  }

  /** Where the program writes, as the host sees it. */
  Path data() {
    return directory.resolve("rootfs/data");
  }

  private static ObjectNode config() {
    ObjectNode config = JSON.createObjectNode().put("ociVersion", "1.0.2").put("hostname", "bundled");
    ObjectNode process = config.putObject("process").put("terminal", false).put("cwd", "/").put("noNewPrivileges", true);
    process.putObject("user").put("uid", 0).put("gid", 0);
    process.putArray("args").add("/bin/program").add("/data");
    process.putArray("env").add("PATH=/bin");
    ObjectNode capabilities = process.putObject("capabilities");
    for (String set : List.of("bounding", "effective", "permitted")) {
      ArrayNode names = capabilities.putArray(set);
      CAPABILITIES.forEach(names::add);
    }
    config.putObject("root").put("path", "rootfs").put("readonly", false);
    ArrayNode mounts = config.putArray("mounts");
    mount(mounts, "/proc", "proc");
    mount(mounts, "/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k");
    mount(mounts, "/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5");
    mount(mounts, "/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k");
    mount(mounts, "/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev");
    mount(mounts, "/sys", "sysfs", "nosuid", "noexec", "nodev", "ro");
    ObjectNode linux = config.putObject("linux");
    ArrayNode namespaces = linux.putArray("namespaces");
    List.of("pid", "ipc", "uts", "mount").forEach(type -> namespaces.addObject().put("type", type));
    ArrayNode masked = linux.putArray("maskedPaths");
    List.of("/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware").forEach(masked::add);
    ArrayNode readOnly = linux.putArray("readonlyPaths");
    List.of("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger").forEach(readOnly::add);
    return config;
  }

  static void mount(ArrayNode mounts, String destination, String type, String... options) {
    ObjectNode mount = mounts.addObject().put("destination", destination).put("type", type).put("source", type);
    ArrayNode list = mount.putArray("options");
    List.of(options).forEach(list::add);
  }
}
