package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.memfd_file_entry;
import io.gantry.checkpoint.image.memfd_inode_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.FileSystemType;
import io.gantry.checkpoint.linux.Memfd;
import io.gantry.checkpoint.linux.SyscallNumber;
import java.util.List;
import java.util.OptionalInt;

/** {@code memfd_create(2)}: name, size, mode, seals. Its pages are carried as a shared object; see {@link SharedObjects}. */
final class MemoryFile implements FileKind {
  private static final String PREFIX = "/memfd:";

  @Override
  public String name(SeenDescriptor seen, int copy) {
    return "memfd";
  }

  @Override
  public String how() {
    return "is made again with its seals, and its pages travel";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return is(seen) && Fd.fcntl(copy, Fd.F_GET_SEALS, 0) >= 0;
  }

  static boolean is(SeenDescriptor seen) {
    return seen.link().startsWith(PREFIX)
        && seen.link().endsWith(SeenDescriptor.DELETED)
        && seen.status().type() == FileStatus.S_IFREG
        && seen.status().links() == 0;
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    if (inventory.isMounted(seen.info().required("mnt_id"))) {
      return List.of("it is a deleted file that only looks like a memory file by its name; choose another name");
    }
    return List.of();
  }

  static memfd_inode_entry describe(int id, SeenDescriptor seen, int copy) {
    var status = FileStatus.of(copy);
    var entry = memfd_inode_entry.newBuilder();
    if (FileSystemType.of(copy) == FileSystemType.HUGETLBFS) {
      entry.setHugetlbFlag(Memfd.huge(status.blockBytes()));
    }
    return entry
        .setName(seen.pathWithoutRemark().substring(PREFIX.length()))
        .setUid(status.uid())
        .setGid(status.gid())
        .setSize(status.size())
        .setShmid(id)
        .setSeals((int) Math.max(0, Fd.fcntl(copy, Fd.F_GET_SEALS, 0)))
        .setInodeId(id)
        .setMode(status.mode())
        .setSourceDev(status.device())
        .setSourceIno(status.inode())
        .build();
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    int inode =
        session.memoryFileId(
            new FileIdentity(seen.status().device(), seen.status().inode()), number -> describe(number, seen, copy));
    return file_entry.newBuilder()
        .setType(fd_types.MEMFD)
        .setId(id)
        .setMemfd(
            memfd_file_entry.newBuilder()
                .setId(id)
                .setFlags(seen.info().statusFlags())
                .setPos(seen.info().position())
                .setFown(session.owner(copy))
                .setInodeId(inode))
        .build();
  }

  @Override
  public boolean describes(file_entry file) {
    return file.getType() == fd_types.MEMFD;
  }

  @Override
  public OptionalInt sends(file_entry file, Recreation recreation) {
    return OptionalInt.of(recreation.memoryFile(file.getMemfd().getInodeId()));
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    var entry = file.getMemfd();
    int slot = recreation.slot(file.getId());
    home.openAgain(recreation.sentSlot(file, home), entry.getFlags() & ~Fd.O_ASYNC, slot);
    if (entry.getPos() != 0) {
      home.need(1, 0);
      home.call("lseek(memfd)", SyscallNumber.LSEEK, slot, entry.getPos(), Fd.SEEK_SET);
    }
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    int flags = file.getMemfd().getFlags();
    return (flags & Fd.O_ASYNC) == 0 ? 0 : flags & ~3;
  }
}
