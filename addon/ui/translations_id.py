"""Indonesian (Bahasa Indonesia).  tests/bpy/test_translations.py finds what is missing here and what is stale.

Words of the craft stay as Indonesian crews say them: take, shot, plate, frame, prompt, backend, compositor.  What Blender's own
Indonesian has a word for is called so here too: Blender shows its own wherever the English is the same.
"""

OPERATORS: dict[str, str] = {
    "Bake to UVs": "Panggang ke UV",
    "View Through Camera": "Lihat Melalui Kamera",
    "Accept": "Terima",
    "Accept Take": "Terima Take",
    "Add Shot Preset": "Tambah Preset Shot",
    "Cancel": "Batal",
    "Compare": "Bandingkan",
    "Connect": "Sambungkan",
    "Copy Command": "Salin Perintah",
    "Delete Take": "Hapus Take",
    "Generate": "Buat",
    "Hide Set": "Sembunyikan Set",
    "Land Take": "Tempatkan Take",
    "New Seed": "Benih Baru",
    "Online Access": "Akses Daring",
    "Pair": "Sandingkan",
    "Pair with Backend": "Sandingkan dengan Backend",
    "Reject": "Tolak",
    "Reject Take": "Tolak Take",
    "Remove from Scene": "Keluarkan dari Adegan",
    "Rename Take": "Ganti Nama Take",
    "Show Folder": "Tampilkan Folder",
    "Show in F12": "Tampilkan di F12",
    "Start Backend": "Jalankan Backend",
    "Stop Backend": "Hentikan Backend",
    "Use These Settings": "Pakai Pengaturan Ini",
    "Use This Machine": "Pakai Mesin Ini",
}

TEXTS: dict[str, str] = {
    # The Shot panel
    "Shot": "Shot",
    "Frames": "Frame",
    "Frame {}": "Frame {}",
    "{} to {} ({})": "{} sampai {} ({})",
    "Plate": "Plate",
    "Time": "Waktu",
    "about {}": "sekitar {}",
    "no history yet": "belum ada riwayat",
    "Prompt": "Prompt",
    "What the plate should show": "Apa yang harus tampak pada plate",
    "Negative": "Negatif",
    "What the plate should not show": "Apa yang tidak boleh tampak pada plate",
    "No prompt": "Tanpa prompt",
    "Write a prompt first": "Tulis prompt terlebih dahulu",
    "Model": "Model",
    "Which of the backend's models makes the plate": "Model backend mana yang membuat plate",
    "Its weights are not on the backend's machine": "Bobotnya tidak ada di mesin backend",
    "Its files on the backend's machine do not load. Install it there again": (
        "Berkasnya di mesin backend tidak dapat dimuat. Pasang lagi di sana"
    ),
    "{} (not installed)": "{} (tidak terpasang)",
    "{} (damaged)": "{} (rusak)",
    "{} (not offered)": "{} (tidak ditawarkan)",
    "Chosen for this scene, but the backend does not offer it": (
        "Dipilih untuk adegan ini, tetapi backend tidak menawarkannya"
    ),
    "The backend tells its size and state once it is connected": (
        "Backend memberi tahu ukuran dan keadaannya setelah tersambung"
    ),
    "Use Material Colours": "Pakai Warna Material",
    "Tell the backend the base colours of your materials: a red roof stays a roof and red": (
        "Beri tahu backend warna dasar material Anda: atap merah tetap atap dan merah"
    ),
    "Follow the Sun Lamp": "Ikuti Lampu Matahari",
    "Light the plate from where the scene's sun lamp stands. Off, or without such a lamp, the seed decides": (
        "Terangi plate dari tempat lampu matahari adegan berada. Bila mati, atau tanpa lampu itu, benih yang menentukan"
    ),
    "The backend is older than this, and does without": "Backend lebih lama dari ini, dan jalan tanpanya",
    "Size": "Ukuran",
    "Pixels of the plate": "Jumlah piksel plate",
    "Fit to Model": "Sesuai Model",
    "The size that the model renders best, nearest to the scene's shape": (
        "Ukuran terbaik bagi model, yang paling mendekati bentuk adegan"
    ),
    "Scene": "Adegan",
    "The scene's own resolution": "Resolusi adegan itu sendiri",
    "Seed": "Benih",
    "Seed {}": "Benih {}",
    "The same seed with the same shot gives the same plate": (
        "Benih yang sama dengan shot yang sama menghasilkan plate yang sama"
    ),
    "Lock Seed": "Kunci Benih",
    "Keep the seed. Unlocked, each Generate takes another one": (
        "Pertahankan benih. Tanpa kunci, setiap Buat memakai benih lain"
    ),
    "Choose another seed": "Pilih benih lain",
    "Quality": "Kualitas",
    "How many denoise steps the plate gets": "Berapa langkah denoise untuk plate",
    "Draft": "Draf",
    "A third of the model's own steps: to judge the prompt and the framing": (
        "Sepertiga langkah model: untuk menilai prompt dan pembingkaian"
    ),
    "Final": "Akhir",
    "The model's own number of steps": "Jumlah langkah bawaan model",
    "Custom": "Kustom",
    "A number of your own": "Jumlah pilihan Anda sendiri",
    "Steps": "Langkah",
    "{}, {} steps": "{}, {} langkah",
    "Denoise steps. 0 uses the model's own number": "Langkah denoise. 0 memakai jumlah bawaan model",
    "Automatic Range": "Rentang Otomatis",
    "Take near and far from the shot's own depth": "Ambil dekat dan jauh dari kedalaman shot itu sendiri",
    "Near": "Dekat",
    "Depth of what counts as nearest, along the camera's axis": (
        "Kedalaman yang dianggap terdekat, sepanjang sumbu kamera"
    ),
    "Far": "Jauh",
    "Depth of what counts as farthest, along the camera's axis. What lies behind it is background": (
        "Kedalaman yang dianggap terjauh, sepanjang sumbu kamera. Yang di belakangnya adalah latar belakang"
    ),
    "Raise Far, or use Automatic": "Naikkan Jauh, atau pakai Otomatis",
    "Depth": "Kedalaman",
    "Show Depth": "Tampilkan Kedalaman",
    "Show the depth that will be sent over the camera's frame: near is white, far is black": (
        "Tampilkan kedalaman yang akan dikirim di atas bingkai kamera: dekat putih, jauh hitam"
    ),
    "Presets of prompt and settings": "Preset prompt dan pengaturan",
    "Shot Presets": "Preset Shot",
    "Add or remove a preset of prompt, model, colours, size, quality and depth range": (
        "Tambah atau hapus preset berisi prompt, model, warna, ukuran, kualitas, dan rentang kedalaman"
    ),
    "Settings": "Pengaturan",
    "Viewport": "Jendela Tampilan",
    # Generate
    "Read cameras and depth from the scene, and send the shot to the backend": (
        "Baca kamera dan kedalaman dari adegan, lalu kirim shot ke backend"
    ),
    "Stop the running job. Nothing that is landed changes": (
        "Hentikan pekerjaan yang berjalan. Yang sudah ditempatkan tidak berubah"
    ),
    "A shot is being read already": "Sebuah shot sedang dibaca",
    "Start again": "Mulai lagi",
    "it does not answer": "tidak menjawab",
    "Look at the Backend panel": "Lihat panel Backend",
    "Please report this": "Mohon laporkan hal ini",
    "Farplane": "Farplane",
    "Connecting": "Menyambung",
    "Asking the backend": "Bertanya kepada backend",
    "Looking for the job": "Mencari pekerjaan",
    "Reading cameras": "Membaca kamera",
    "Rendering depth": "Merender kedalaman",
    "Waiting for your render": "Menunggu render Anda",
    "Rendering the scene": "Merender adegan",
    "Writing depth": "Menulis kedalaman",
    "Sending the shot": "Mengirim shot",
    "Preparing": "Menyiapkan",
    "Denoising": "Menghilangkan derau",
    "Decoding": "Mendekode",
    "Writing frames": "Menulis frame",
    "Measuring": "Mengukur",
    "Cancelled": "Dibatalkan",
    "Cancelling": "Membatalkan",
    "Waiting, {} ahead": "Menunggu, {} di depan",
    "{} {} of {}": "{} {} dari {}",
    "{}, {} left": "{}, sisa {}",
    "and {} more": "dan {} lagi",
    "Live Preview": "Pratinjau Langsung",
    "Show the picture that is forming in the camera's frame": "Tampilkan gambar yang sedang terbentuk di bingkai kamera",
    "Off": "Mati",
    "Only in the panel": "Hanya di panel",
    "Behind": "Di Belakang",
    "Behind the scene, as a background image": "Di belakang adegan, sebagai gambar latar belakang",
    "In Front": "Di Depan",
    "Over the scene": "Di atas adegan",
    "Opacity": "Opasitas",
    "How much of it covers the scene": "Seberapa banyak ia menutupi adegan",
    # Takes
    "Takes": "Take",
    "Take": "Take",
    "The chosen take": "Take yang dipilih",
    "No takes of this shot yet": "Shot ini belum punya take",
    "What else can be done with the chosen take": "Hal lain yang dapat dilakukan dengan take yang dipilih",
    "Take this plate. The decision, your name and the time are written beside it": (
        "Ambil plate ini. Keputusan, nama Anda, dan waktunya dicatat di sampingnya"
    ),
    "Do not take this plate. The decision is written beside it, its files stay": (
        "Jangan ambil plate ini. Keputusannya dicatat di sampingnya, berkasnya tetap ada"
    ),
    "Accept it, or choose another one": "Terima, atau pilih yang lain",
    "Give this take a name. Its folder keeps its own": "Beri nama take ini. Nama foldernya tetap",
    "Name": "Nama",
    "Note": "Catatan",
    "Your note about this take, written beside it": "Catatan Anda tentang take ini, ditulis di sampingnya",
    "Put this take's prompt, seed, model, steps and use of colours and sun back into the Shot panel": (
        "Kembalikan prompt, benih, model, langkah, serta pemakaian warna dan matahari take ini ke panel Shot"
    ),
    "Open this take's folder in the system's file browser": "Buka folder take ini di peramban berkas sistem",
    "Delete": "Hapus",
    "Delete Take": "Hapus Take",
    "Delete this take's files from the disk. This cannot be undone": (
        "Hapus berkas take ini dari disk. Ini tidak dapat dibatalkan"
    ),
    "Delete {} from the disk? This cannot be undone": "Hapus {} dari disk? Ini tidak dapat dibatalkan",
    "Remove it from the scene first": "Keluarkan dulu dari adegan",
    "Wait for it, or cancel its job": "Tunggu, atau batalkan pekerjaannya",
    "Not all of its frames have come. Generate it again": "Belum semua frame-nya datang. Buat lagi",
    "The take's folder. Empty for the chosen one": "Folder take. Kosong berarti yang dipilih",
    "none is chosen": "tidak ada yang dipilih",
    "none is chosen that is whole": "tidak ada yang utuh yang dipilih",
    "Choose one in the list": "Pilih satu dari daftar",
    "Choose one in the list of takes": "Pilih satu dari daftar take",
    "Lock {} px": "Kuncian {} px",
    "Lock not measured": "Kuncian tidak diukur",
    "Lock not readable": "Kuncian tidak terbaca",
    "Bake to UVs": "Panggang ke UV",
    "Project this frame only, in the meshes' own coordinates, so that it moves with them": (
        "Proyeksikan frame ini saja, dalam koordinat mesh sendiri, sehingga ikut bergerak bersamanya"
    ),
    "Compare this take with another: mark it, then choose the other one. Once more ends it": (
        "Bandingkan take ini dengan yang lain: tandai, lalu pilih yang lain. Sekali lagi untuk mengakhiri"
    ),
    "Split": "Pemisah",
    "Left of it the take that was marked for comparison, right of it the chosen one": (
        "Di kirinya take yang ditandai untuk dibandingkan, di kanannya take yang dipilih"
    ),
    "{} is here": "{} sudah datang",
    "Esc: Cancel": "Esc: Batal",
    "Start it in the Backend panel, and the job goes on": "Jalankan di panel Backend, dan pekerjaannya berlanjut",
    "The backend hears of it once it is back": "Backend mengetahuinya begitu tersambung lagi",
    "{} is made by another backend": "{} dibuat oleh backend lain",
    "Connect to that one again": "Sambungkan lagi ke backend itu",
    # Landing
    "Landing": "Penempatan",
    "Land As": "Tempatkan Sebagai",
    "Landed As": "Ditempatkan Sebagai",
    "How a take is put into the scene": "Bagaimana take ditempatkan di adegan",
    "Put this take into the scene": "Tempatkan take ini di adegan",
    "Take a landed take out of the scene again. Its files stay": (
        "Keluarkan take yang sudah ditempatkan dari adegan. Berkasnya tetap ada"
    ),
    "{} is landed": "{} sudah ditempatkan",
    "Not as {}: {}": "Tidak sebagai {}: {}",
    "Landed {} as {}": "{} ditempatkan sebagai {}",
    "Background": "Latar Belakang",
    "Behind the camera in the viewport": "Di belakang kamera pada jendela tampilan",
    "Projection": "Proyeksi",
    "On the selected meshes, or on all of them, where the shot's camera saw them": (
        "Pada mesh yang dipilih, atau pada semuanya, di bagian yang terlihat kamera shot"
    ),
    "Compositor": "Compositor",
    "The plate with the Foreground and its shadow over it, in F12": (
        "Plate dengan Latar Depan dan bayangannya di atasnya, di F12"
    ),
    "Hide the set in the viewport, so that the plate behind the camera shows. Renders are not changed": (
        "Sembunyikan set di viewport agar plate di belakang kamera tampak. Hasil render tidak berubah"
    ),
    "{} is landed. {}": "{} sudah ditempatkan. {}",
    "It stands behind the scene in the viewport; F12 is without it until Show in F12 is on": (
        "Plate berada di belakang adegan di viewport; F12 tanpa plate sampai Tampilkan di F12 dinyalakan"
    ),
    "F12 shows the plate alone, since nothing is in the Foreground": (
        "F12 menampilkan plate saja, karena Latar Depan kosong"
    ),
    "F12 shows the plate and all of the Foreground before it, without shadow: this needs Cycles": (
        "F12 menampilkan plate dan seluruh Latar Depan di depannya, tanpa bayangan: ini perlu Cycles"
    ),
    "F12 shows the plate and the Foreground, without its shadow: that needs Cycles": (
        "F12 menampilkan plate dan Latar Depan, tanpa bayangannya: itu perlu Cycles"
    ),
    "F12 shows the plate, the Foreground and its shadow": "F12 menampilkan plate, Latar Depan dan bayangannya",
    "Strip": "Strip",
    "In the scene's video sequencer": "Di pengurutan video adegan",
    # The Backend panel
    "Backend": "Backend",
    "Running on this machine": "Berjalan di mesin ini",
    "Starting": "Memulai",
    "Stopping": "Menghentikan",
    "Not running": "Tidak berjalan",
    "Connected to {}": "Tersambung ke {}",
    "Connecting to {}": "Menyambung ke {}",
    "Not connected to {}": "Tidak tersambung ke {}",
    "Connect to the backend again, with the preferences as they are now": (
        "Sambungkan lagi ke backend, dengan preferensi yang sekarang"
    ),
    "Start the backend on this machine. It ends with Blender": (
        "Jalankan backend di mesin ini. Ia berakhir bersama Blender"
    ),
    "It is running already": "Sudah berjalan",
    "Stop the backend that was started from here. A job that runs is begun again at the next start": (
        "Hentikan backend yang dijalankan dari sini. Pekerjaan yang berjalan diulang saat dijalankan lagi"
    ),
    "No backend was started from here": "Tidak ada backend yang dijalankan dari sini",
    "It ended by itself": "Berakhir dengan sendirinya",
    "Run 'farplane doctor' in a terminal": "Jalankan 'farplane doctor' di terminal",
    "The 'farplane' program was not found": "Program 'farplane' tidak ditemukan",
    "Install the backend, or choose where its program lies": "Pasang backend, atau pilih letak programnya",
    "There is no 'farplane' program at {}": "Tidak ada program 'farplane' di {}",
    "Choose the program, or the folder it lies in": "Pilih programnya, atau folder tempatnya",
    "{} cannot be run ({})": "{} tidak dapat dijalankan ({})",
    "Check its path": "Periksa lokasinya",
    "Use a backend on another machine: paste the line that 'farplane pair' printed there": (
        "Pakai backend di mesin lain: tempel baris yang dicetak 'farplane pair' di sana"
    ),
    "On the backend's machine run: farplane pair NAME": "Di mesin backend jalankan: farplane pair NAME",
    "Pairing Line": "Baris Penyandingan",
    "The whole line, as 'farplane pair' printed it on the backend's machine": (
        "Seluruh baris, seperti dicetak 'farplane pair' di mesin backend"
    ),
    "Paste the line that it prints": "Tempel baris yang dicetaknya",
    "Backend at {}": "Backend di {}",
    "Paired with the backend at {}": "Disandingkan dengan backend di {}",
    "Use the backend of this machine again. The other one still knows this Blender": (
        "Pakai lagi backend di mesin ini. Backend lainnya tetap mengenal Blender ini"
    ),
    "Copy the command that lets this Blender use the backend, to run on the backend's machine": (
        "Salin perintah yang mengizinkan Blender ini memakai backend, untuk dijalankan di mesin backend"
    ),
    "Copied. Run it on the backend's machine": "Tersalin. Jalankan di mesin backend",
    "Run a command on the backend's machine, or pair again with a new line from it": (
        "Jalankan perintah di mesin backend, atau sandingkan lagi dengan baris baru darinya"
    ),
    "Queue": "Antrean",
    "no backend is running on this machine": "tidak ada backend yang berjalan di mesin ini",
    "Start one with `farplane serve`": "Jalankan dengan `farplane serve`",
    "Check that `farplane serve` runs there and that the address is right": (
        "Periksa apakah `farplane serve` berjalan di sana dan alamatnya benar"
    ),
    "Copy the backend's public key again; `farplane serve` prints it": (
        "Salin lagi kunci publik backend; `farplane serve` mencetaknya"
    ),
    "the connection to the backend broke": "sambungan ke backend terputus",
    "Nothing is lost: the job goes on and the client connects again": (
        "Tidak ada yang hilang: pekerjaan berlanjut dan klien menyambung lagi"
    ),
    "Blender's online access is off": "Akses daring Blender dimatikan",
    "Allow it under Preferences > System > Network": "Izinkan di Preferences > System > Network",
    "Blender was started in offline mode": "Blender dijalankan dalam mode luring",
    "Start it without --offline-mode": "Jalankan tanpa --offline-mode",
    "Add-on": "Add-on",
    "pyzmq is missing, without it there is no way to the backend": "pyzmq tidak ada, tanpanya tidak ada jalan ke backend",
    "Install Farplane's zip for this Blender again": "Pasang lagi zip Farplane untuk Blender ini",
    # Preferences
    "Preferences": "Preferensi",
    "the add-on is not enabled": "add-on tidak diaktifkan",
    "Enable it under Preferences > Add-ons": "Aktifkan di Preferences > Add-ons",
    "This Machine": "Mesin Ini",
    "Another Machine": "Mesin Lain",
    "Author": "Pembuat",
    "Name written beside accepted and rejected takes. Empty uses the login name": (
        "Nama yang ditulis di samping take yang diterima dan ditolak. Kosong berarti nama login"
    ),
    "Farplane Program": "Program Farplane",
    "The 'farplane' program that runs the local backend, or its folder. Empty searches the PATH": (
        "Program 'farplane' yang menjalankan backend lokal, atau foldernya. Kosong berarti dicari di PATH"
    ),
    "Keys Folder": "Folder Kunci",
    "Folder of this user's keys. Empty uses the system's own place for settings": (
        "Folder kunci pengguna ini. Kosong berarti tempat pengaturan bawaan sistem"
    ),
    "Address of a backend on another machine, as tcp://host:port. Empty uses the one on this machine": (
        "Alamat backend di mesin lain, berbentuk tcp://host:port. Kosong berarti backend di mesin ini"
    ),
    "Backend Key": "Kunci Backend",
    "The backend's public key, 40 characters. Pair with Backend fills it in": (
        "Kunci publik backend, 40 karakter. Diisi oleh Sandingkan dengan Backend"
    ),
    "Write it as tcp://host:port": "Tulis sebagai tcp://host:port",
}
