"""Short lists of things that are easily taken for each other: an answer of one list has its wrong answers in the same.

Each line, with what is indented below it, is one list of one kind (see `kinds`). A kind has several lists where its
things are far apart: a cow is taken for a goat, not for a giraffe.
"""

from __future__ import annotations

import re

from warmgap.evaluate.normal import normalise
from warmgap.evaluate.tasks.distractors.kinds import PEOPLE

_LISTS = """
planet: Mercury, Venus, Mars, Jupiter, Saturn, Uranus, Neptune
colour: red, blue, green, yellow, orange, purple, black, white, brown, pink
colour: scarlet, turquoise, indigo, violet, crimson, magenta, lilac
element: hydrogen, helium, oxygen, nitrogen, neon, argon, chlorine, fluorine, krypton, xenon, radon
element: iron, copper, zinc, tin, lead, nickel, aluminium, silver, gold, platinum, mercury, tungsten, titanium
element: sodium, potassium, calcium, magnesium, lithium, phosphorus, sulphur, carbon, silicon, iodine, boron,
  arsenic
element: uranium, plutonium, thorium, radium, polonium, praseodymium, neodymium, europium, terbium, ytterbium,
  protactinium
gem: diamond, ruby, emerald, sapphire, topaz, amethyst, garnet, opal, turquoise, pearl, aquamarine
constellation: Orion, Leo, Gemini, Taurus, Cassiopeia, Pegasus, Scorpius, Virgo, Lyra, Cygnus, Perseus, Andromeda
sign: Aries, Taurus, Gemini, Cancer, Leo, Virgo, Libra, Scorpio, Sagittarius, Capricorn, Aquarius, Pisces
continent: Africa, Asia, Europe, North America, South America, Australia, Antarctica
water: Atlantic Ocean, Pacific Ocean, Indian Ocean, Arctic Ocean
water: Lake Superior, Lake Michigan, Lake Huron, Lake Erie, Lake Ontario
water: Black Sea, Caspian Sea, Red Sea, Dead Sea, Aral Sea, Baltic Sea, Adriatic Sea, Aegean Sea
river: River Thames, River Severn, River Trent, River Tyne, River Tees, River Mersey, River Ouse, River Avon
river: Thames, Severn, Trent, Tyne, Tees, Mersey, Ouse, Avon, Humber, Wear
river: Colorado, Mississippi, Missouri, Ohio, Hudson, Potomac, Rio Grande, Columbia
river: Danube, Rhine, Seine, Loire, Elbe, Rhone, Po, Tiber, Volga, Oder
river: Nile, Congo, Niger, Zambezi, Limpopo, Amazon, Orinoco, Ganges, Indus, Mekong, Yangtze
gulf: Gulf of Aden, Gulf of Oman, Gulf of Aqaba, Gulf of Suez, Persian Gulf
gulf: Strait of Dover, Strait of Gibraltar, Strait of Messina, Bosphorus, Dardanelles, Bering Strait
mountain: Kilimanjaro, Mount Kenya, Mount Elgon, Mount Meru
mountain: Ben Nevis, Snowdon, Scafell Pike, Helvellyn, Cairn Gorm
mountain: Etna, Vesuvius, Stromboli, Krakatoa, Mauna Loa, Popocatepetl, Cotopaxi
mountain: Everest, K2, Annapurna, Kangchenjunga, Lhotse, Matterhorn, Eiger, Mont Blanc
island: Sardinia, Sicily, Corsica, Malta, Cyprus, Crete, Rhodes, Corfu, Majorca, Menorca, Ibiza, Elba
island: Jamaica, Barbados, Trinidad, Tobago, Grenada, Martinique, Guadeloupe, Antigua, St Lucia, Hispaniola, Cuba
island: Isle of Wight, Isle of Man, Jersey, Guernsey, Anglesey, Skye, Mull, Arran, Iona, Lewis, Lundy, Alderney
island: Java, Sumatra, Borneo, Bali, Sulawesi, New Guinea, Honshu, Hokkaido, Kyushu, Luzon
county: Devon, Cornwall, Somerset, Dorset, Wiltshire, Hampshire, Sussex, Kent, Surrey, Berkshire
county: Warwickshire, Worcestershire, Gloucestershire, Shropshire, Staffordshire, Derbyshire, Leicestershire,
  Oxfordshire
county: Norfolk, Suffolk, Essex, Cambridgeshire, Lincolnshire, Hertfordshire, Bedfordshire, Northamptonshire
county: Cumbria, Lancashire, Northumberland, Durham, Cheshire, Yorkshire, North Yorkshire, Merseyside
county: Cork, Kerry, Galway, Mayo, Sligo, Donegal, Clare, Limerick, Waterford, Kilkenny, Tipperary, Antrim, Armagh,
  Down
desert: Sahara, Gobi, Kalahari, Namib, Atacama, Mojave, Negev, Thar
mammal: cow, sheep, goat, pig, horse, donkey, buffalo, ox, camel, llama
mammal: giraffe, elephant, hippopotamus, rhinoceros, zebra, antelope, gnu, okapi
mammal: lion, tiger, leopard, cheetah, jaguar, lynx, puma, ocelot
mammal: wolf, fox, bear, badger, otter, weasel, stoat, jackal, hyena, mongoose
mammal: beaver, squirrel, rat, mouse, hamster, porcupine, guinea pig, chinchilla, coypu, capybara, hedgehog, rabbit,
  hare
mammal: kangaroo, koala, wombat, wallaby, possum, platypus
mammal: whale, dolphin, seal, walrus, porpoise, manatee
mammal: snake, lizard, frog, toad, tortoise, crocodile, newt, salamander
mammal: gorilla, chimpanzee, orang-utan, gibbon, baboon, lemur
bird: eagle, hawk, falcon, owl, vulture, osprey, kestrel, buzzard, kite
bird: raven, crow, magpie, jackdaw, rook, jay, dove, pigeon, swallow
bird: crane, heron, stork, egret, flamingo, ibis, spoonbill, bittern, curlew, avocet
bird: kiwi, emu, ostrich, cassowary, rhea, penguin, kakapo, kookaburra
bird: robin, wren, blackbird, thrush, sparrow, starling, skylark, nightingale, goldfinch, chaffinch
fish: salmon, trout, cod, haddock, herring, mackerel, sardine, pilchard, plaice, sole, halibut, turbot, tuna,
  sturgeon
insect: dragonfly, mayfly, grasshopper, cricket, locust, mosquito, butterfly, moth, beetle, ladybird, wasp, bee, ant
tree: oak, ash, elm, beech, birch, willow, yew, sycamore, lime, maple, poplar, rowan, alder, hazel
plant: rose, tulip, daffodil, lily, orchid, iris, carnation, thistle, poppy, foxglove, marigold, crocus, snowdrop
plant: tomato, potato, cucumber, pepper, lettuce, aubergine, onion, cabbage, carrot
plant: saffron, turmeric, cumin, paprika, cinnamon, nutmeg, ginger, cardamom, basil, thyme, parsley, sage, mint
fruit: apple, pear, plum, peach, apricot, cherry, damson, quince
fruit: orange, lemon, lime, grapefruit, tangerine, satsuma, kumquat
fruit: banana, pineapple, mango, papaya, avocado, fig, date, pomegranate, melon, coconut
fruit: potato, carrot, parsnip, turnip, swede, beetroot, cabbage, cauliflower, broccoli, onion, leek, spinach, pea
fruit: almond, walnut, hazelnut, cashew, pistachio, pecan, brazil nut
drink: gin, rum, vodka, whisky, brandy, tequila, bourbon
drink: tea, coffee, cocoa, milk, beer, cider, wine
organ: ear, eye, nose, tongue, skin
organ: liver, kidney, pancreas, spleen, heart, lung, stomach, bladder, gall bladder
body: eye, ear, nose, mouth, tongue, tooth, chin
body: arm, leg, foot, hand, knee, elbow, shoulder, hip, ankle, wrist, toe, finger, thumb
body: bones, muscles, nerves, joints, skin, liver, kidneys, lungs, heart, brain
bone: femur, tibia, fibula, humerus, radius, ulna, patella, sternum, scapula, clavicle
nationality: British, American, French, German, Italian, Spanish, Dutch, Belgian, Austrian, Swiss, Polish, Russian,
  Danish
nationality: Swedish, Norwegian, Finnish, Hungarian, Czech, Greek, Turkish, Portuguese, Irish, Canadian, Australian
language: English, Dutch, German, Danish, Swedish, Norwegian, Icelandic
language: French, Italian, Spanish, Portuguese, Catalan, Romanian, Latin
language: Russian, Polish, Czech, Ukrainian, Bulgarian, Serbian
language: Hindi, Urdu, Bengali, Punjabi, Tamil, Gujarati
language: Arabic, Hebrew, Maltese, Aramaic, Amharic
language: Welsh, Breton, Cornish, Gaelic, Manx
language: Greek, Turkish, Persian, Armenian, Hungarian, Finnish
language: Chinese, Japanese, Korean, Vietnamese, Thai, Malay
language: Swahili, Zulu, Xhosa, Afrikaans, Yoruba, Hausa
composer: Bach, Handel, Vivaldi, Haydn, Mozart, Beethoven, Schubert, Mendelssohn, Schumann, Brahms
composer: Verdi, Puccini, Rossini, Donizetti, Bellini
composer: Tchaikovsky, Mussorgsky, Borodin, Rimsky-Korsakov, Prokofiev, Stravinsky, Shostakovich, Rachmaninov
composer: Elgar, Holst, Vaughan Williams, Britten, Walton, Delius
composer: Debussy, Ravel, Bizet, Berlioz, Saint-Saens, Faure
composer: Andrew Lloyd Webber, Elton John, Stephen Sondheim, Leonard Bernstein, Richard Rodgers, Cole Porter
artist: Leonardo da Vinci, Michelangelo, Raphael, Titian, Botticelli, Caravaggio, Giotto
artist: Rembrandt, Vermeer, Rubens, Van Dyck, Frans Hals, Jan Steen
artist: Claude Monet, Edouard Manet, Renoir, Edgar Degas, Paul Cezanne, Paul Gauguin, Toulouse-Lautrec
artist: Salvador Dali, Pablo Picasso, Joan Miro, Rene Magritte, Max Ernst, Henri Matisse, Georges Braque
artist: Francisco Goya, Diego Velazquez, El Greco, Murillo, Zurbaran
artist: John Constable, JMW Turner, Thomas Gainsborough, Joshua Reynolds, William Hogarth, George Stubbs
artist: Edvard Munch, Gustav Klimt, Egon Schiele, Wassily Kandinsky, Paul Klee
artist: Andy Warhol, Jackson Pollock, Roy Lichtenstein, Mark Rothko, David Hockney, Damien Hirst
writer: Charles Dickens, William Thackeray, Anthony Trollope, Thomas Hardy, George Eliot, Wilkie Collins
writer: Jane Austen, Charlotte Bronte, Emily Bronte, Anne Bronte, Mary Shelley, Elizabeth Gaskell
writer: Leo Tolstoy, Fyodor Dostoevsky, Anton Chekhov, Ivan Turgenev, Nikolai Gogol, Maxim Gorky
writer: Arthur Conan Doyle, GK Chesterton, Dorothy L Sayers, Agatha Christie, Edgar Wallace
writer: HG Wells, Rudyard Kipling, Joseph Conrad, Robert Louis Stevenson, H Rider Haggard, Bram Stoker
writer: Victor Hugo, Alexandre Dumas, Jules Verne, Gaston Leroux, Emile Zola, Gustave Flaubert, Honore de Balzac
writer: George Orwell, Aldous Huxley, Evelyn Waugh, Graham Greene, Anthony Burgess, William Golding
writer: Ernest Hemingway, F Scott Fitzgerald, John Steinbeck, William Faulkner, JD Salinger, Harper Lee
writer: Eugene O'Neill, Arthur Miller, Tennessee Williams, Edward Albee, Thornton Wilder
writer: John Le Carre, Ian Fleming, Len Deighton, Frederick Forsyth, Jack Higgins, Alistair MacLean
writer: Muriel Spark, Iris Murdoch, Doris Lessing, Daphne du Maurier, Barbara Pym
writer: William Wordsworth, Samuel Taylor Coleridge, John Keats, Lord Byron, Percy Shelley, Robert Southey
writer: Pablo Neruda, Gabriel Garcia Marquez, Jorge Luis Borges, Mario Vargas Llosa, Octavio Paz
writer: Stephen King, James Herbert, Dean Koontz, Clive Barker
writer: JK Rowling, Enid Blyton, Roald Dahl, CS Lewis, JRR Tolkien, Philip Pullman, AA Milne
play: Hamlet, Macbeth, Othello, King Lear, Julius Caesar, Coriolanus, Timon of Athens
play: Twelfth Night, As You Like It, Much Ado About Nothing, The Merchant of Venice, The Tempest
book: Oliver Twist, David Copperfield, Great Expectations, Bleak House, Hard Times, Little Dorrit
book: Pride and Prejudice, Emma, Persuasion, Mansfield Park, Sense and Sensibility, Northanger Abbey
film: Dr No, Goldfinger, Thunderball, Live and Let Die, The Spy Who Loved Me, Moonraker, Octopussy, Licence to Kill
film: GoldenEye, Tomorrow Never Dies, The World Is Not Enough, Die Another Day, Casino Royale, Quantum of Solace
film: Snow White and the Seven Dwarfs, Pinocchio, Dumbo, Bambi, Cinderella, Peter Pan, The Jungle Book, The
  Aristocats
film: Psycho, Vertigo, The Birds, Rear Window, North by Northwest, Rebecca, Marnie, Notorious
scientist: Isaac Newton, Robert Hooke, Robert Boyle, Edmond Halley, Christopher Wren
scientist: Albert Einstein, Niels Bohr, Max Planck, Werner Heisenberg, Erwin Schrodinger, Paul Dirac, Enrico Fermi
scientist: Galileo, Copernicus, Johannes Kepler, Tycho Brahe
scientist: Fibonacci, Pythagoras, Archimedes, Euclid, Leonhard Euler, Carl Gauss, Pierre de Fermat, Blaise Pascal
scientist: Plato, Aristotle, Socrates, Epicurus, Diogenes
scientist: Thomas Edison, Alexander Graham Bell, Nikola Tesla, Guglielmo Marconi, Samuel Morse
musician: Sam Cooke, Percy Sledge, Otis Redding, Wilson Pickett, Marvin Gaye, Ray Charles, Ben E King
musician: David Bowie, Rod Stewart, Bryan Ferry, Marc Bolan, Alvin Stardust, David Essex, Gilbert O'Sullivan
musician: Cliff Richard, Billy Fury, Adam Faith, Marty Wilde, Tommy Steele, Lonnie Donegan
musician: Dusty Springfield, Cilla Black, Lulu, Sandie Shaw, Petula Clark, Helen Shapiro
musician: Madonna, Kylie Minogue, Whitney Houston, Cyndi Lauper, Janet Jackson, Mariah Carey
musician: Willie Nelson, Johnny Cash, Waylon Jennings, Kenny Rogers, Merle Haggard, Garth Brooks
musician: Dolly Parton, Tammy Wynette, Loretta Lynn, Patsy Cline, Crystal Gayle
musician: Frank Sinatra, Dean Martin, Perry Como, Tony Bennett, Nat King Cole, Andy Williams
musician: Billie Holiday, Ella Fitzgerald, Sarah Vaughan, Peggy Lee, Nina Simone
musician: Bruce Springsteen, Bob Dylan, Neil Young, Tom Petty, Billy Joel, Bob Seger
musician: Elvis Presley, Chuck Berry, Little Richard, Buddy Holly, Jerry Lee Lewis, Eddie Cochran, Roy Orbison
musician: Neil Sedaka, Bobby Vee, Del Shannon, Gene Pitney, Tommy Roe, Brian Hyland
musician: Adele, Amy Winehouse, Duffy, Leona Lewis, Lily Allen, Jessie J, Katie Melua
musician: Cee Lo Green, Bruno Mars, Pharrell Williams, Usher, Ne-Yo, John Legend
band: The Beatles, The Rolling Stones, The Kinks, The Who, The Hollies, The Searchers, The Animals
band: Gerry and the Pacemakers, The Searchers, The Merseybeats, The Swinging Blue Jeans, The Fourmost
band: Slade, Sweet, Mud, T Rex, Wizzard, Showaddywaddy, Sweet Sensation
band: Oasis, Blur, Pulp, Suede, Travis, Radiohead, Coldplay
band: Take That, East 17, Boyzone, Westlife, Blue, Five
band: Kaiser Chiefs, Arctic Monkeys, Franz Ferdinand, The Libertines, Razorlight
band: Pink Floyd, Genesis, Yes, Led Zeppelin, Deep Purple, Black Sabbath, Jethro Tull
band: Dr Feelgood, The Stranglers, The Clash, The Damned, The Jam, Buzzcocks
band: Duran Duran, Spandau Ballet, The Human League, Depeche Mode, Culture Club, Wham
band: The Beach Boys, The Byrds, The Doors, The Monkees, The Mamas and the Papas
actor: George Clooney, Brad Pitt, Matt Damon, Tom Cruise, Johnny Depp, Tom Hanks, Russell Crowe
actor: Warren Beatty, Robert Redford, Dustin Hoffman, Jack Nicholson, Al Pacino, Robert De Niro
actor: Charlie Chaplin, Buster Keaton, Harold Lloyd, Fatty Arbuckle
actor: Fred Astaire, Gene Kelly, Donald O'Connor, Bing Crosby
actor: Humphrey Bogart, James Cagney, Edward G Robinson, George Raft
actor: Cary Grant, James Stewart, Clark Gable, Gary Cooper, Henry Fonda, Spencer Tracy
actor: Sean Connery, Roger Moore, George Lazenby, Timothy Dalton, Pierce Brosnan, Daniel Craig
actor: Peter O'Toole, Richard Burton, Richard Harris, Oliver Reed, Albert Finney, Michael Caine
actor: Elizabeth Taylor, Ava Gardner, Rita Hayworth, Lana Turner, Marilyn Monroe, Grace Kelly, Doris Day
actor: Julia Roberts, Sandra Bullock, Meg Ryan, Demi Moore, Nicole Kidman, Cameron Diaz
actor: Judi Dench, Maggie Smith, Helen Mirren, Vanessa Redgrave, Glenda Jackson
actor: Stephen Fry, Hugh Laurie, Rowan Atkinson, Rik Mayall, Griff Rhys Jones, Mel Smith
actor: Les Dawson, Bob Monkhouse, Terry Wogan, Jim Bowen, Larry Grayson, Bruce Forsyth
actor: Hattie Jacques, Joan Sims, Barbara Windsor, June Whitfield, Thora Hird
actor: David Attenborough, Brian Cox, Patrick Moore, Robert Winston
director: Alfred Hitchcock, Orson Welles, Billy Wilder, John Ford, Frank Capra
director: Steven Spielberg, Martin Scorsese, Francis Ford Coppola, Ridley Scott, James Cameron, Jonathan Demme
sportsman: Rod Laver, Ken Rosewall, John Newcombe, Roy Emerson, Arthur Ashe
sportsman: Bjorn Borg, John McEnroe, Jimmy Connors, Ivan Lendl, Ilie Nastase, Boris Becker, Stefan Edberg
sportsman: Roger Federer, Rafael Nadal, Novak Djokovic, Andy Murray
sportsman: Billie Jean King, Martina Navratilova, Chris Evert, Steffi Graf, Monica Seles
sportsman: Jack Nicklaus, Arnold Palmer, Gary Player, Tom Watson, Lee Trevino, Seve Ballesteros
sportsman: Nick Faldo, Tiger Woods, Phil Mickelson, Ernie Els, John Daly, Rory McIlroy
sportsman: Eric Bristow, John Lowe, Phil Taylor, Jocky Wilson, Bob Anderson, John Part, Raymond van Barneveld
sportsman: Steve Davis, Stephen Hendry, Ronnie O'Sullivan, Alex Higgins, Jimmy White, John Higgins
sportsman: Muhammad Ali, Joe Frazier, George Foreman, Sonny Liston, Floyd Patterson, Rocky Marciano
sportsman: Stirling Moss, Mike Hawthorn, Graham Hill, Jim Clark, Jackie Stewart, James Hunt
sportsman: Ayrton Senna, Alain Prost, Nigel Mansell, Michael Schumacher, Damon Hill, Lewis Hamilton
sportsman: Alf Ramsey, Joe Mercer, Don Revie, Ron Greenwood, Bobby Robson, Graham Taylor
ruler: Alexander the Great, Julius Caesar, Hannibal, Cyrus the Great, Darius
ruler: Augustus, Tiberius, Caligula, Claudius, Nero, Vespasian, Hadrian, Trajan
criminal: Dick Turpin, Jack Sheppard, Claude Duval, Captain Kidd, Blackbeard
explorer: Christopher Columbus, Vasco da Gama, Ferdinand Magellan, Amerigo Vespucci, John Cabot, Jacques Cartier
explorer: Robert Falcon Scott, Ernest Shackleton, Roald Amundsen, Robert Peary, Fridtjof Nansen
explorer: David Livingstone, Henry Stanley, Richard Burton, Mungo Park, John Speke
saint: Saint Peter, Saint Paul, Saint James, Saint Matthew, Saint Luke, Saint Mark, Saint John, Saint Thomas
saint: St Jude, St Christopher, St Nicholas, St Anthony, St Francis, St Valentine, St Crispin
vitamin: vitamin A, vitamin B, vitamin C, vitamin D, vitamin E, vitamin K
war: Boer War, Crimean War, First World War, Second World War, Korean War, Vietnam War, Falklands War, Gulf War
war: American Civil War, American War of Independence, Spanish American War, Mexican War
battle: Hastings, Agincourt, Crecy, Poitiers, Bannockburn, Bosworth, Naseby, Culloden
battle: Austerlitz, Jena, Borodino, Waterloo, Wagram, Leipzig, Marengo, Trafalgar
duo: Laurel and Hardy, Abbott and Costello, Morecambe and Wise
religion: Islam, Judaism, Hinduism, Buddhism, Sikhism, Christianity, Shinto, Taoism, Jainism
sport: football, cricket, rugby, hockey, tennis, badminton, squash, table tennis, basketball, netball, volleyball,
  baseball
sport: golf, croquet, bowls, snooker, billiards, darts, pool, polo, lacrosse
sport: boxing, wrestling, judo, karate, fencing, archery, rowing, sailing, swimming, cycling, skiing, curling,
  gymnastics
instrument: violin, viola, cello, double bass, guitar, harp, lute, banjo, mandolin, ukulele
instrument: flute, oboe, clarinet, bassoon, saxophone, trumpet, trombone, tuba, French horn
instrument: piano, organ, harpsichord, accordion, xylophone, drums
currency: pound, dollar, euro, franc, mark, lira, peso, rupee, krona, yen, yuan, rouble, rand, dinar, escudo, zloty
period: Triassic, Jurassic, Cretaceous, Devonian, Cambrian, Permian, Silurian, Ordovician, Carboniferous
god: Zeus, Poseidon, Hades, Apollo, Ares, Hermes, Dionysus, Hephaestus, Eros, Pan
god: Hera, Athena, Artemis, Aphrodite, Demeter, Hestia, Persephone
god: Jupiter, Neptune, Pluto, Mars, Mercury, Vulcan, Bacchus, Cupid, Saturn, Janus
god: Juno, Minerva, Diana, Venus, Ceres, Vesta
god: Odin, Thor, Loki, Baldur, Freyr, Tyr
god: Ra, Osiris, Isis, Horus, Anubis, Seth, Thoth
god: Brahma, Vishnu, Shiva, Krishna, Ganesh, Kali
festival: Easter, Pentecost, Ascension Day, Epiphany, Advent, Ash Wednesday, Palm Sunday, Candlemas, Michaelmas
festival: Diwali, Holi, Eid, Ramadan, Hanukkah, Passover, Yom Kippur, Purim
ship type: submarine, frigate, destroyer, cruiser, battleship, aircraft carrier, minesweeper
newspaper: The Times, The Guardian, The Daily Telegraph, The Independent, The Daily Mail, The Daily Express, The Sun
newspaper: The Sunday Times, The Observer, The Sunday Telegraph, The Sunday Post, The Mail on Sunday
team: Arsenal, Chelsea, Liverpool, Everton, Manchester United, Manchester City, Leeds United, Aston Villa, Newcastle
  United
team: Blackburn Rovers, Bolton Wanderers, Derby County, Nottingham Forest, Leicester City, Sunderland, Ipswich Town
team: Celtic, Rangers, Aberdeen, Hearts, Hibernian, Dundee United, Motherwell
team: New York Yankees, Boston Red Sox, Boston Braves, Chicago Cubs, St Louis Cardinals, Detroit Tigers
street: Mayfair, Park Lane, Bond Street, Oxford Street, Regent Street, Piccadilly, Fleet Street, The Strand, Pall
  Mall
building: Buckingham Palace, St James's Palace, Kensington Palace, Lambeth Palace, Hampton Court Palace
ruler: George I, George II, George III, George IV, William IV, Edward VII, George V, Edward VIII, George VI
ruler: King George I, King George II, King George III, King George IV, King William IV, King Edward VII, King George
  V
ruler: Henry VII, Henry VIII, Edward VI, James I, Charles I, Charles II, James II
ruler: Queen Victoria, Queen Anne, Mary I, Elizabeth I, Mary II
ruler: William I, William II, Henry I, Stephen, Henry II, Richard I, John, Henry III, Edward I, Edward II, Edward
  III
president: George Washington, John Adams, Thomas Jefferson, James Madison, James Monroe, Andrew Jackson, Martin Van
  Buren
president: Zachary Taylor, Millard Fillmore, Franklin Pierce, James Buchanan, Abraham Lincoln, Andrew Johnson
president: Ulysses S Grant, James Garfield, Chester Arthur, Grover Cleveland, William McKinley, Theodore Roosevelt
president: Woodrow Wilson, William Howard Taft, Warren Harding, Calvin Coolidge, Herbert Hoover
president: Harry S Truman, Dwight D Eisenhower, John F Kennedy, Lyndon B Johnson, Richard Nixon, Gerald Ford, Jimmy
  Carter
president: Ronald Reagan, George Bush, Bill Clinton, George W Bush, Barack Obama
prime minister: Winston Churchill, Clement Attlee, Anthony Eden, Harold Macmillan, Alec Douglas-Home, Harold Wilson,
  Edward Heath
prime minister: James Callaghan, Margaret Thatcher, John Major, Tony Blair, Gordon Brown, David Cameron
prime minister: David Lloyd George, Stanley Baldwin, Ramsay MacDonald, Neville Chamberlain, Herbert Asquith, Arthur
  Balfour, Campbell-Bannerman
prime minister: Benjamin Disraeli, William Gladstone, Lord Palmerston, Robert Peel, Lord Melbourne, Lord Salisbury
prime minister: Robert Walpole, William Pitt, Spencer Perceval, Lord Liverpool, Duke of Wellington, George Canning
city: London, Manchester, Birmingham, Liverpool, Leeds, Sheffield, Bristol, Newcastle, Nottingham, Leicester,
  Coventry, Hull
city: York, Oxford, Cambridge, Bath, Exeter, Norwich, Lincoln, Durham, Chester, Winchester, Worcester, Gloucester,
  Salisbury
city: Southampton, Portsmouth, Plymouth, Brighton, Bournemouth, Torquay, Blackpool, Southport, Scarborough, Hastings
city: Keswick, Kendal, Ambleside, Windermere, Penrith, Cockermouth
city: Edinburgh, Glasgow, Aberdeen, Dundee, Inverness, Perth, Stirling
city: Cardiff, Swansea, Newport, Wrexham, Bangor
city: Dublin, Cork, Galway, Limerick, Belfast, Waterford
city: New York, Chicago, Los Angeles, San Francisco, Boston, Philadelphia, Detroit, Dallas, Houston, Atlanta,
  Seattle, Miami
city: Pittsburgh, Cleveland, Cincinnati, St Louis, Baltimore, Minneapolis, Denver, New Orleans, Milwaukee, Memphis,
  Nashville
city: Las Vegas, Reno, Phoenix, Salt Lake City, San Diego, Albuquerque
city: Montgomery, Albany, Sacramento, Austin, Tallahassee, Springfield, Columbus, Harrisburg, Juneau, Honolulu,
  Boise
city: Toronto, Montreal, Vancouver, Ottawa, Calgary, Edmonton, Quebec, Winnipeg
city: Sydney, Melbourne, Brisbane, Perth, Adelaide, Canberra, Hobart, Darwin
city: Paris, Lyon, Marseille, Bordeaux, Toulouse, Nice, Strasbourg, Lille, Nantes
city: Rome, Milan, Naples, Turin, Florence, Venice, Bologna, Genoa, Palermo, Verona, Pisa
city: Berlin, Munich, Hamburg, Cologne, Frankfurt, Stuttgart, Dresden, Leipzig, Nuremberg
city: Madrid, Barcelona, Seville, Valencia, Granada, Bilbao, Malaga, Cordoba
world city: Vienna, Prague, Budapest, Warsaw, Zurich, Geneva, Bratislava, Salzburg
city: Amsterdam, Rotterdam, The Hague, Utrecht, Maastricht, Eindhoven
city: Brussels, Antwerp, Bruges, Ghent
city: Stockholm, Gothenburg, Malmo, Uppsala
world city: Oslo, Bergen, Copenhagen, Helsinki, Reykjavik, Stockholm
world city: Athens, Sofia, Belgrade, Bucharest, Zagreb, Sarajevo, Ljubljana, Skopje, Tirana
world city: Moscow, St Petersburg, Kiev, Minsk, Gdansk, Krakow, Riga, Vilnius, Tallinn
world city: Cairo, Tunis, Algiers, Tripoli, Casablanca, Marrakesh, Nairobi, Lagos, Johannesburg, Cape Town, Durban,
  Pretoria
world city: Delhi, Mumbai, Kolkata, Chennai, Karachi, Lahore, Dhaka, Kathmandu, Colombo
world city: Tokyo, Osaka, Kyoto, Nagasaki, Hiroshima, Beijing, Shanghai, Hong Kong, Seoul, Taipei
world city: Bangkok, Singapore, Jakarta, Manila, Hanoi, Kuala Lumpur, Phnom Penh
world city: Baghdad, Tehran, Damascus, Beirut, Amman, Riyadh, Jerusalem, Tel Aviv, Istanbul, Ankara
world city: Buenos Aires, Rio de Janeiro, Sao Paulo, Santiago, Lima, Bogota, Caracas, Montevideo, Quito, La Paz,
  Brasilia
"""
# kinds of which one may be asked for by the name of another
_ALIKE = {"resort": "city", "capital": "city", "animal": "mammal"}


_Found = dict[tuple[str, str], tuple[list[str], int]]


def _read(last_names: bool) -> _Found:
    found: _Found = {}
    for line in _LISTS.strip().replace("\n  ", " ").splitlines():
        kind, _, names = line.partition(": ")
        members = names.split(", ")
        for place, name in enumerate(members):
            form = normalise(name).split(" ")[-1] if last_names else normalise(name)
            found.setdefault((kind, form), (members, place))
    return found


_BY_LAST_NAME = _read(last_names=True)
_SERIES = _read(last_names=False)


def series_of(kind: str, answer: str) -> tuple[list[str], int]:
    """Return the list in which an answer of this kind stands and its place there; else an empty list.

    The list is in the plural where the answer is; a person is found by the last name alone, too.
    """
    plain = re.sub(r"^(?:sir|dame|lord|st|saint|mount|mt) ", "", normalise(answer))
    kind = _ALIKE.get(kind, kind)
    found = _SERIES.get((kind, normalise(answer))) or _SERIES.get((kind, plain))
    if found is None and kind in PEOPLE and kind != "ruler":
        found = _by_last_name(kind, plain)
    if found is not None:
        return found
    for ending, one in (("oes", "o"), ("ies", "y"), ("s", "")):
        single = plain.removesuffix(ending) + one
        if plain.endswith(ending) and (kind, single) in _SERIES:
            members, place = _SERIES[kind, single]
            return [_many(name) for name in members], place
    return [], 0


def _by_last_name(kind: str, plain: str) -> tuple[list[str], int] | None:
    """A person whose names are all in the list's form or hold it: "Pyotr Tchaikovsky", "G K Chesterton"."""
    said = plain.split(" ")
    members, place = _BY_LAST_NAME.get((kind, said[-1]), ([], 0))
    if not members:
        return None
    listed = normalise(members[place]).split(" ")
    same = set(listed) <= set(said) or set(said) <= set(listed) or "".join(listed) == "".join(said)
    return (members, place) if same else None


def _many(name: str) -> str:
    if name.endswith(("s", "sh", "ch", "x")):
        return name if name.endswith("s") else f"{name}es"
    if name.endswith("o"):
        return f"{name}es"
    return f"{name[:-1]}ies" if name.endswith("y") and name[-2] not in "aeiou" else f"{name}s"
