package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.ns_file_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.user.UserNamespaces;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** An open {@code /proc/PID/ns/…} ({@code namespaces(7)}): a namespace that a process of the container is in. */
final class NamespaceFile implements FileKind {
  /** The links below {@code /proc/PID/ns} by what they point to, and the flags of {@code linux/sched.h}. */
  private static final Map<String, Integer> FLAGS =
      Map.of(
          "time", 0x80,
          "mnt", 0x2_0000,
          "cgroup", 0x200_0000,
          "uts", 0x400_0000,
          "ipc", 0x800_0000,
          "user", 0x1000_0000,
          "pid", 0x2000_0000,
          "net", 0x4000_0000);

  private record Place(int nsPid, String name) {}

  private static String kind(SeenDescriptor seen) {
    int colon = seen.link().indexOf(":[");
    return colon < 0 ? "" : seen.link().substring(0, colon);
  }

  @Override
  public String name(SeenDescriptor seen, int copy) {
    return kind(seen) + " namespace";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return FLAGS.containsKey(kind(seen));
  }

  private static Optional<Place> place(SeenDescriptor seen, Inventory inventory) {
    var name = kind(seen);
    for (var link : name.equals("pid") || name.equals("time") ? List.of(name, name + "_for_children") : List.of(name)) {
      for (var process : inventory.processes()) {
        try {
          if (Files.readSymbolicLink(Path.of("/proc/" + process.pid() + "/ns/" + link)).toString().equals(seen.link())) {
            return Optional.of(new Place(process.nsPid(), link));
          }
        } catch (IOException gone) {
          // Ended meanwhile, or a kernel without this kind.
          continue;
        }
      }
    }
    return Optional.empty();
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    var place = place(seen, inventory);
    // A stub that opens one below the container's own is not in it yet.
    if (place.isPresent() && kind(seen).equals("user") && !isContainers(seen, inventory)) {
      return List.of(
          "it is " + seen.link() + ", a user namespace that a process of the container has made, whose files cannot be carried; close it");
    }
    return place.isPresent()
        ? List.of()
        : List.of("it is " + seen.link() + ", a namespace that no process of the container is in");
  }

  private static boolean isContainers(SeenDescriptor seen, Inventory inventory) {
    var pids = inventory.processes().stream().map(ProcessRef::pid).toList();
    try (var users = UserNamespaces.of(pids.getFirst(), pids)) {
      return users.inode() == seen.status().inode();
    } catch (KernelException gone) {
      return true;
    }
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    var place =
        place(seen, session.inventory())
            .orElseThrow(() -> new CheckpointException(seen.where() + " is " + seen.link() + ", which no process is in any more"));
    var entry =
        ns_file_entry.newBuilder()
            .setId(id)
            .setNsId((int) seen.status().inode())
            .setNsCflag(FLAGS.get(kind(seen)))
            .setFlags(seen.info().statusFlags())
            .setPid(place.nsPid())
            .setName(place.name())
            .setFown(session.owner(copy));
    return file_entry.newBuilder().setType(fd_types.NS).setId(id).setNsf(entry).build();
  }

  @Override
  public boolean describes(file_entry file) {
    return file.getType() == fd_types.NS;
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    var entry = file.getNsf();
    home.open("/proc/" + entry.getPid() + "/ns/" + entry.getName(), Fd.O_RDONLY, recreation.slot(file.getId()));
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    return file.getNsf().getFlags() & ~3;
  }
}
