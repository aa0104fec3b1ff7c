package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.fanotify_file_entry;
import io.gantry.checkpoint.image.fanotify_inode_mark_entry;
import io.gantry.checkpoint.image.fanotify_mark_entry;
import io.gantry.checkpoint.image.fanotify_mount_mark_entry;
import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.mark_type;
import io.gantry.checkpoint.linux.Fanotify;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.Inotify;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.procfs.IdMaps;
import io.gantry.checkpoint.procfs.TaskStatus;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * {@code fanotify(7)}: marks on files, mounts and file systems. Events that wait hold open files and cannot be looked at without taking them, and the
 * kernel merges what could be used to fill the queue until it tells of an overflow; so a group with events waiting is refused.
 */
final class FanotifyGroup implements FileKind {
  private static final int CAP_SYS_ADMIN = 21;

  @Override
  public String name(SeenDescriptor seen, int copy) {
    return "fanotify";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return seen.isAnonymous("[fanotify]");
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    var found = new ArrayList<String>();
    int waiting = Inotify.pendingBytes(copy);
    if (waiting > 0) {
      found.add("%d bytes of events wait to be read, which cannot be copied; try again when the program has read them".formatted(waiting));
    }
    if (!mayMarkEverything(seen.process().pid())) {
      found.add(
          "its process has no CAP_SYS_ADMIN in the host's user namespace, so that the group may be a limited one, which the kernel tells"
              + " nobody");
    }
    for (var line : seen.info().values("fanotify mnt_ns")) {
      found.add("it watches mount namespace " + line.split(" ")[0] + " (FAN_MARK_MNTNS), which cannot be carried");
    }
    try (var files = new WatchedFiles(inventory.root())) {
      for (var line : seen.info().values("fanotify ino")) {
        var words = Marks.words("ino", line);
        if (!files.find(words).hasPath()) {
          found.add(Marks.lost("fanotify mark", words));
        }
      }
      for (var line : seen.info().values("fanotify mnt_id")) {
        int id = Marks.number(Marks.words("mnt_id", line), "mnt_id");
        if (files.mount(id).isEmpty()) {
          found.add("it watches mount " + id + ", which the container cannot see");
        }
      }
      for (var line : seen.info().values("fanotify sdev")) {
        int device = Marks.number(Marks.words("sdev", line), "sdev");
        if (files.mountOf(device).isEmpty()) {
          found.add("it watches the file system of device %d:%d, which the container cannot see".formatted(device >>> 20, device & 0xfffff));
        }
      }
    }
    return found;
  }

  private static boolean mayMarkEverything(int pid) {
    try {
      // Rights in another user namespace do not count (fs/notify/fanotify/fanotify_user.c: capable).
      boolean agents = IdMaps.of(pid).equals(IdMaps.IDENTITY);
      return agents && (TaskStatus.ofProcess(pid).set("CapEff") >>> CAP_SYS_ADMIN & 1) != 0;
    } catch (NoSuchFileException gone) {
      return true;
    }
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    var info = seen.info();
    var group = Marks.words("flags", info.required("fanotify flags"));
    var entry =
        fanotify_file_entry.newBuilder()
            .setId(id)
            .setFlags(info.statusFlags())
            .setFown(session.owner(copy))
            .setFaflags(Marks.number(group, "flags"))
            .setEvflags(Marks.number(group, "event-flags"));
    var marks = new ArrayList<fanotify_mark_entry>();
    try (var files = new WatchedFiles(session.inventory().root())) {
      for (var line : info.values("fanotify ino")) {
        var words = Marks.words("ino", line);
        var file = files.find(words);
        var inode = fanotify_inode_mark_entry.newBuilder().setIIno(Long.parseUnsignedLong(words.get("ino"), 16)).setFHandle(file);
        marks.add(mark(id, mark_type.INODE, words).setSDev(Marks.number(words, "sdev")).setIe(inode).build());
      }
      for (var line : info.values("fanotify mnt_id")) {
        var words = Marks.words("mnt_id", line);
        marks.add(mark(id, mark_type.MOUNT, words).setSDev(0).setMe(place(files.mount(Marks.number(words, "mnt_id")), seen)).build());
      }
      for (var line : info.values("fanotify sdev")) {
        var words = Marks.words("sdev", line);
        int device = Marks.number(words, "sdev");
        marks.add(mark(id, mark_type.FILE_SYSTEM, words).setSDev(device).setMe(place(files.mountOf(device), seen)).build());
      }
    }
    marks.sort(Comparator.comparing(FanotifyGroup::path).thenComparing(fanotify_mark_entry::getType));
    return file_entry.newBuilder().setType(fd_types.FANOTIFY).setId(id).setFfy(entry.addAllMark(marks)).build();
  }

  private static fanotify_mark_entry.Builder mark(int id, mark_type type, Map<String, String> words) {
    return fanotify_mark_entry.newBuilder()
        .setId(id)
        .setType(type)
        .setMflags(Marks.number(words, "mflags"))
        .setMask(Marks.number(words, "mask"))
        .setIgnoredMask(Marks.number(words, "ignored_mask"));
  }

  private static fanotify_mount_mark_entry.Builder place(Optional<WatchedFiles.Mounted> mount, SeenDescriptor seen) {
    var there = mount.orElseThrow(() -> new CheckpointException(seen.where() + " is fanotify and watches a mount that went away"));
    return fanotify_mount_mark_entry.newBuilder().setMntId(there.id()).setPath(there.point());
  }

  private static String path(fanotify_mark_entry mark) {
    return mark.hasIe() ? mark.getIe().getFHandle().getPath() : mark.getMe().getPath();
  }

  @Override
  public boolean describes(file_entry file) {
    return file.getType() == fd_types.FANOTIFY;
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    var entry = file.getFfy();
    home.need(3, 0);
    var made = home.call("fanotify_init()", SyscallNumber.FANOTIFY_INIT, entry.getFaflags(), entry.getEvflags());
    home.park(made, recreation.slot(file.getId()));
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    return file.getFfy().getFlags() & ~Fd.O_RDWR;
  }

  @Override
  public boolean isFinishedLast(file_entry file) {
    return true;
  }

  /** Watching begins when nothing opens the container's files any more. */
  @Override
  public void finish(file_entry file, int copy, int pid) {
    for (var mark : file.getFfy().getMarkList()) {
      var path = "/proc/" + pid + "/root" + path(mark);
      int where =
          switch (mark.getType()) {
            case INODE -> Fanotify.FAN_MARK_DONT_FOLLOW;
            case MOUNT -> Fanotify.FAN_MARK_MOUNT;
            case FILE_SYSTEM -> Fanotify.FAN_MARK_FILESYSTEM;
          };
      int ignoring = mark.getMflags() & (Fanotify.FAN_MARK_IGNORED_SURV_MODIFY | Fanotify.FAN_MARK_IGNORE);
      int evictable = mark.getMflags() & Fanotify.FAN_MARK_EVICTABLE;
      if (mark.getIgnoredMask() != 0) {
        int kind = (ignoring & Fanotify.FAN_MARK_IGNORE) != 0 ? 0 : Fanotify.FAN_MARK_IGNORED_MASK;
        Fanotify.mark(copy, where | evictable | kind | ignoring, Integer.toUnsignedLong(mark.getIgnoredMask()), path);
      }
      if (mark.getMask() != 0) {
        Fanotify.mark(copy, where | evictable, Integer.toUnsignedLong(mark.getMask()), path);
      }
    }
  }
}
