package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.eventpoll_file_entry;
import io.gantry.checkpoint.image.eventpoll_tfd_entry;
import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.Kcmp;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.Poll;
import io.gantry.checkpoint.linux.SyscallNumber;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Optional;

/**
 * {@code epoll_create(2)} and what it watches. An instance knows a file by the pair of open file and number it was added
 * under; the
 * number may long mean something else, so {@code kcmp(KCMP_EPOLL_TFD)} says which file is meant.
 */
final class Epoll implements FileKind {
  /** {@code linux/eventpoll.h}. */
  private static final int EPOLL_CTL_ADD = 1;

  private static final int EPOLLONESHOT = 1 << 30;
  private static final int EPOLLET = 1 << 31;
  /** All event bits that are no options: what an armed entry has at least one of besides ERR and HUP. */
  private static final int OPTIONS = 1 << 31 | EPOLLONESHOT | 1 << 29 | 1 << 28;

  /** So that they fit into one batch of calls. */
  private static final int EVENTS_AT_ONCE = 64;

  /** One {@code tfd:} line of fdinfo. */
  private record Watched(int number, int events, long data, long inode, long device, int offset, int place) {}

  @Override
  public String name(SeenDescriptor seen, int copy) {
    return "epoll";
  }

  @Override
  public String how() {
    return "is made again and watches the same files for the same events";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return seen.isAnonymous("[eventpoll]");
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    var found = new ArrayList<String>();
    for (var watched : watched(seen.info())) {
      try {
        if (target(seen, watched, inventory).isEmpty()) {
          found.add(
              "it watches a file (added as descriptor " + watched.number()
                  + ") that no process of the container has open any more");
        }
      } catch (KernelException e) {
        // ENOENT: the entry was removed while we looked.
        if (!Inventory.isGone(e)) {
          throw e;
        }
      }
    }
    return found;
  }

  private static List<Watched> watched(DescriptorInfo info) {
    var all = new ArrayList<Watched>();
    var sameNumber = new HashMap<Integer, Integer>();
    for (var line : info.values("tfd")) {
      // "        4 events:       19 data:                4  pos:0 ino:76cd sdev:f", everything but pos in the base printf gave it
      var words = line.split("[\\s:]+");
      int number = Integer.parseInt(words[0]);
      int offset = sameNumber.merge(number, 1, Integer::sum) - 1;
      all.add(
          new Watched(
              number,
              Integer.parseUnsignedInt(words[2], 16),
              Long.parseUnsignedLong(words[4], 16),
              Long.parseUnsignedLong(words[8], 16),
              Long.parseUnsignedLong(words[10], 16),
              offset,
              all.size()));
    }
    return all;
  }

  private static Optional<SeenDescriptor> target(SeenDescriptor epoll, Watched watched, Inventory inventory) {
    var known = inventory.epollTargets(epoll);
    var target = known.get(watched.place());
    if (target == null) {
      target = find(epoll, watched, inventory);
      known.put(watched.place(), target);
    }
    return target;
  }

  private static Optional<SeenDescriptor> find(SeenDescriptor epoll, Watched watched, Inventory inventory) {
    // Nearly always it is the same number in the same process; only then comes everything with the same inode.
    var same = inventory.find(epoll.process(), watched.number()).filter(seen -> seen.status().inode() == watched.inode());
    var likely = same.orElse(null);
    // Each socket has an inode of its own: no need to ask the kernel, which searches its whole set for each question.
    boolean socket = likely != null && likely.isSocket() && likely.status().device() == userDevice(watched.device());
    if (socket || likely != null && isTarget(likely, epoll, watched)) {
      return Optional.of(likely);
    }
    for (var seen : inventory.withInode(watched.inode())) {
      if (seen != likely && isTarget(seen, epoll, watched)) {
        return Optional.of(seen);
      }
    }
    return Optional.empty();
  }

  /** The kernel's number of a device without a driver, as {@code stat(2)} shows it ({@code new_encode_dev}, {@code linux/kdev_t.h}). */
  private static long userDevice(long device) {
    return device & 0xff | (device & ~0xffL) << 12;
  }

  private static boolean isTarget(SeenDescriptor seen, SeenDescriptor epoll, Watched watched) {
    return Kcmp.isEpollTarget(
        seen.process().pid(), seen.fd(), epoll.process().pid(), epoll.fd(), watched.number(), watched.offset());
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    var instance =
        eventpoll_file_entry.newBuilder().setId(id).setFlags(seen.info().statusFlags()).setFown(session.owner(copy));
    var targets = new ArrayList<eventpoll_tfd_entry>();
    // Looking takes no edge. When anything is ready, which entry it is cannot be seen, and none may be lost.
    boolean quiet = Poll.await(copy, Poll.IN, 0) == 0;
    for (var watched : watched(seen.info())) {
      var target =
          target(seen, watched, session.inventory())
              .orElseThrow(() -> new CheckpointException("epoll, " + seen.where() + ", watches a file that nobody has open"));
      var entry =
          eventpoll_tfd_entry.newBuilder()
              .setId(session.idOf(target))
              .setTfd(watched.number())
              .setEvents(watched.events())
              .setData(watched.data());
      if (quiet && (watched.events() & EPOLLET) != 0 && isReady(target, watched.events(), session.inventory())) {
        entry.setEdgeTaken(true);
      }
      targets.add(entry.build());
    }
    // The kernel lists them by the addresses of its own structures, which say nothing.
    targets.sort(Comparator.comparingInt(eventpoll_tfd_entry::getTfd).thenComparingInt(eventpoll_tfd_entry::getId));
    instance.addAllTfd(targets);
    return file_entry.newBuilder().setType(fd_types.EVENTPOLL).setId(id).setEpfd(instance).build();
  }

  private static boolean isReady(SeenDescriptor target, int events, Inventory inventory) {
    int copy = inventory.take(target);
    try {
      // The lower bits are those of poll(2).
      return Poll.await(copy, events & 0xffff, 0) != 0;
    } finally {
      Fd.close(copy);
    }
  }

  @Override
  public boolean describes(file_entry file) {
    return file.getType() == fd_types.EVENTPOLL;
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    home.need(3, 0);
    home.park(home.call("epoll_create1()", SyscallNumber.EPOLL_CREATE1, 0), recreation.slot(file.getId()));
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    return file.getEpfd().getFlags() & ~Fd.O_RDWR;
  }

  /**
   * Adds the calls that make an instance watch what it watched. Every file is in its slot, and no number below the slots is
   * taken, so that each file can be added under the number the instance knew it by.
   */
  static void watch(eventpoll_file_entry epoll, StubDescriptors home, Recreation recreation) {
    int slot = recreation.slot(epoll.getId());
    // A one-shot entry that has fired reports nothing until it is armed again, but adding it always arms ERR and HUP. Add these
    // first and let what is pending fire; entries added afterwards do not lose an edge by that.
    // An edge that the program has been told of comes first as well, so that it is not told again.
    var silent = epoll.getTfdList().stream().filter(Epoll::isSilent).toList();
    silent.forEach(target -> add(target, slot, home, recreation));
    for (int left = silent.size(); left > 0; left -= EVENTS_AT_ONCE) {
      home.need(1, 12 * EVENTS_AT_ONCE + 16);
      home.call("epoll_wait()", SyscallNumber.EPOLL_WAIT, slot, home.reserve(12 * EVENTS_AT_ONCE), EVENTS_AT_ONCE, 0);
    }
    epoll.getTfdList().stream().filter(target -> !isSilent(target)).forEach(target -> add(target, slot, home, recreation));
  }

  private static boolean isSilent(eventpoll_tfd_entry target) {
    return isDisarmed(target) || target.getEdgeTaken();
  }

  private static boolean isDisarmed(eventpoll_tfd_entry target) {
    return (target.getEvents() & EPOLLONESHOT) != 0 && (target.getEvents() & ~OPTIONS) == 0;
  }

  private static void add(eventpoll_tfd_entry target, int slot, StubDescriptors home, Recreation recreation) {
    // struct epoll_event is packed on x86-64: events 4, data 8.
    var event = ByteBuffer.allocate(12).order(ByteOrder.LITTLE_ENDIAN);
    event.putInt(target.getEvents()).putLong(target.getData());
    home.need(3, 32);
    home.call("dup3(epoll target)", SyscallNumber.DUP3, recreation.slot(target.getId()), target.getTfd(), Fd.O_CLOEXEC);
    home.call(
        "epoll_ctl(ADD, descriptor " + target.getTfd() + ")",
        SyscallNumber.EPOLL_CTL,
        slot,
        EPOLL_CTL_ADD,
        target.getTfd(),
        home.bytes(event.array()));
    home.call("close(epoll target)", SyscallNumber.CLOSE, target.getTfd());
  }
}
